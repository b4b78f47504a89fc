#include "server/connection_counts.h"

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace berth::server {
namespace {

boost::asio::ip::address address(const std::string& text) { return boost::asio::ip::make_address(text); }

}  // namespace

TEST_CASE("connections are counted by IPv4 address and by IPv6 network") {
  struct Row {
    std::string name;
    std::string peer;
    std::string asked;
    std::size_t counted;
  };
  const std::vector<Row> rows = {
      {"the same IPv4 address", "192.0.2.1", "192.0.2.1", 1},
      {"another IPv4 address", "192.0.2.1", "192.0.2.2", 0},
      {"IPv4 written as IPv6 is IPv4", "::ffff:192.0.2.1", "192.0.2.1", 1},
      {"the same IPv6 /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 1},
      {"another IPv6 /64", "2001:db8:1:2::1", "2001:db8:1:3::1", 0},
      {"loopback is not counted", "127.0.0.1", "127.0.0.1", 0},
      {"nor is IPv6 loopback", "::1", "::1", 0},
      {"nor loopback written as IPv6", "::ffff:127.0.0.5", "127.0.0.5", 0},
  };
  for (const auto& row : rows) {
    DYNAMIC_SECTION(row.name) {
      const auto counts = std::make_shared<ConnectionCounts>();
      {
        const auto slot = counts->take(address(row.peer));
        CHECK(counts->total() == 1);
        CHECK(counts->from(address(row.asked)) == row.counted);
      }
      CHECK(counts->total() == 0);
      CHECK(counts->from(address(row.asked)) == 0);
    }
  }
}

TEST_CASE("a slot that moved is counted once") {
  const auto counts = std::make_shared<ConnectionCounts>();
  auto first = std::make_optional(counts->take(address("192.0.2.1")));
  std::optional<ConnectionSlot> second(std::move(*first));
  first.reset();
  CHECK(counts->from(address("192.0.2.1")) == 1);
  second.reset();
  CHECK(counts->total() == 0);
}

TEST_CASE("waiting for none ends with the last slot, or with time") {
  using namespace std::chrono_literals;
  const auto counts = std::make_shared<ConnectionCounts>();
  CHECK(counts->wait_for_none(0s));
  auto slot = std::make_optional(counts->take(address("192.0.2.1")));
  CHECK(!counts->wait_for_none(1ms));
  std::thread other([&slot] {
    std::this_thread::sleep_for(10ms);
    slot.reset();
  });
  CHECK(counts->wait_for_none(10s));
  other.join();
}

}  // namespace berth::server
