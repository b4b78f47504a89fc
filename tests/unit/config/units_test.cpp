#include <catch2/catch.hpp>
#include <limits>

#include "config/keys.h"
#include "config/settings.h"

using namespace berth;
using namespace std::chrono_literals;

TEST_CASE("sizes") {
  struct Row {
    const char* text;
    std::optional<std::uint64_t> bytes;
  };
  auto row = GENERATE(values<Row>({
      {"0", 0},
      {"4096", 4096},
      {"4096B", 4096},
      {"64KiB", 65536},
      {"8MiB", 8 << 20},
      {"2GiB", 2ull << 30},
      {"1TiB", 1ull << 40},
      {"1KB", 1000},
      {"1MB", 1'000'000},
      {"1GB", 1'000'000'000},
      {"1TB", 1'000'000'000'000},
      {"18446744073709551615", std::numeric_limits<std::uint64_t>::max()},
      {"18446744073709551616", std::nullopt},
      {"16777216TiB", std::nullopt},  // 2^64
      {"16777215TiB", 16777215ull << 40},
      {"", std::nullopt},
      {"KiB", std::nullopt},
      {"64 KiB", std::nullopt},
      {"64kib", std::nullopt},
      {"64K", std::nullopt},
      {"-1", std::nullopt},
      {"+1", std::nullopt},
      {"1.5MiB", std::nullopt},
      {"0x10", std::nullopt},
      {" 1", std::nullopt},
  }));
  CAPTURE(row.text);
  auto parsed = config::parse_size(row.text);
  REQUIRE(parsed.has_value() == row.bytes.has_value());
  if (row.bytes) {
    CHECK(*parsed == *row.bytes);
    CHECK(*config::parse_size(config::format_size(*parsed)) == *parsed);
  }
}

TEST_CASE("durations") {
  struct Row {
    const char* text;
    std::optional<std::chrono::milliseconds> duration;
  };
  auto row = GENERATE(values<Row>({
      {"0", 0ms},
      {"0s", 0ms},
      {"250ms", 250ms},
      {"10s", 10s},
      {"5m", 5min},
      {"24h", 24h},
      {"14d", 14 * 24h},
      {"36525d", 36525 * 24h},
      {"36526d", std::nullopt},
      {"10", std::nullopt},
      {"", std::nullopt},
      {"s", std::nullopt},
      {"1h30m", std::nullopt},
      {"-1s", std::nullopt},
      {"1.5s", std::nullopt},
      {"10 s", std::nullopt},
      {"10S", std::nullopt},
      {"18446744073709551615d", std::nullopt},
  }));
  CAPTURE(row.text);
  auto parsed = config::parse_duration(row.text);
  REQUIRE(parsed.has_value() == row.duration.has_value());
  if (row.duration) {
    CHECK(*parsed == *row.duration);
    CHECK(*config::parse_duration(config::format_duration(*parsed)) == *parsed);
  }
}

TEST_CASE("sizes and durations are written as people would") {
  CHECK(config::format_size(0) == "0");
  CHECK(config::format_size(1000) == "1000");
  CHECK(config::format_size(128 << 10) == "128KiB");
  CHECK(config::format_size(1 << 20) == "1MiB");
  CHECK(config::format_size((1 << 20) + 1) == "1048577");
  CHECK(config::format_duration(0ms) == "0s");
  CHECK(config::format_duration(1500ms) == "1500ms");
  CHECK(config::format_duration(90s) == "90s");
  CHECK(config::format_duration(24h) == "24h");
  CHECK(config::format_duration(48h) == "2d");
}

TEST_CASE("addresses") {
  struct Row {
    const char* text;
    const char* host;  // null: refused
    std::uint16_t port;
    bool loopback;
  };
  auto row = GENERATE(values<Row>({
      {"127.0.0.1:5000", "127.0.0.1", 5000, true},
      {"127.255.0.9:0", "127.255.0.9", 0, true},
      {"0.0.0.0:65535", "0.0.0.0", 65535, false},
      {"128.0.0.1:80", "128.0.0.1", 80, false},
      {"[::1]:5000", "::1", 5000, true},
      {"[::]:5000", "::", 5000, false},
      {"[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1, false},
      {"localhost:5000", "localhost", 5000, true},
      {"localhost.example.com:5000", "localhost.example.com", 5000, false},
      {"127.0.0.1.example.com:5000", "127.0.0.1.example.com", 5000, false},
      {"", nullptr, 0, false},
      {"5000", nullptr, 0, false},
      {":5000", nullptr, 0, false},
      {"127.0.0.1", nullptr, 0, false},
      {"127.0.0.1:", nullptr, 0, false},
      {"127.0.0.1:65536", nullptr, 0, false},
      {"127.0.0.1:-1", nullptr, 0, false},
      {"127.0.0.1:http", nullptr, 0, false},
      {"127.0.0.1:80 ", nullptr, 0, false},
      {"::1:5000", nullptr, 0, false},
      {"[::1]", nullptr, 0, false},
      {"[::1]5000", nullptr, 0, false},
      {"[::1", nullptr, 0, false},
      {"[127.0.0.1]:1", nullptr, 0, false},
      {"a b:1", nullptr, 0, false},
      {"user@host:1", nullptr, 0, false},
  }));
  CAPTURE(row.text);
  auto parsed = config::parse_host_port(row.text);
  REQUIRE(parsed.has_value() == (row.host != nullptr));
  if (row.host == nullptr) return;
  CHECK(parsed->host == row.host);
  CHECK(parsed->port == row.port);
  CHECK(config::is_loopback(parsed->host) == row.loopback);
}

TEST_CASE("the nearest name is offered only when it is near") {
  std::vector<std::string_view> names{"manifest_size", "blob_size", "level"};
  CHECK(config::closest("manifest_sise", names) == "manifest_size");
  CHECK(config::closest("blobsize", names) == "blob_size");
  CHECK(config::closest("levle", names) == "level");
  CHECK(config::closest("colour", names).empty());
  CHECK(config::closest(std::string(100'000, 'a'), names).empty());
  CHECK(config::closest("", names).empty());
}
