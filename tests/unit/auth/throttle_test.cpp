#include "auth/throttle.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/seeded_entropy.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;

struct World {
  explicit World(const LoginThrottle::Options& options = {}) : throttle(entropy, options) {}

  /// 0 when let in, and then it fails.
  std::chrono::seconds fail(std::string_view account, std::string_view address) {
    auto admission = throttle.admit(account, address, now);
    if (!admission.attempt) return admission.retry_after;
    admission.attempt->failed(now);
    return 0s;
  }
  std::chrono::seconds succeed(std::string_view account, std::string_view address) {
    auto admission = throttle.admit(account, address, now);
    if (!admission.attempt) return admission.retry_after;
    admission.attempt->succeeded(now);
    return 0s;
  }
  std::chrono::seconds wait(std::string_view account, std::string_view address) {
    return throttle.admit(account, address, now).retry_after;
  }

  test::SeededEntropy entropy{1};
  SteadyTime now{1000s};
  LoginThrottle throttle;
};

}  // namespace

TEST_CASE("failures wait longer and longer, half a minute at most") {
  World world;
  for (int i = 0; i < 5; ++i) CHECK(world.fail("alice", "192.0.2.1") == 0s);
  std::vector<std::chrono::seconds> waits;
  for (int i = 0; i < 8; ++i) {
    CHECK(world.fail("alice", "192.0.2.1") == 0s);
    const auto wait = world.wait("alice", "192.0.2.1");
    waits.push_back(wait);
    // Trying during the wait does not prolong it.
    CHECK(world.fail("alice", "192.0.2.1") == wait);
    world.now += wait - 1s;
    CHECK(world.wait("alice", "192.0.2.1") == 1s);
    world.now += 1s;
  }
  CHECK(waits == std::vector<std::chrono::seconds>{1s, 2s, 4s, 8s, 16s, 30s, 30s, 30s});
  // Without failures it is as it was.
  world.now += 5 * 30s;
  for (int i = 0; i < 6; ++i) CHECK(world.fail("alice", "192.0.2.1") == 0s);
  CHECK(world.wait("alice", "192.0.2.1") == 1s);
}

TEST_CASE("whoever fails slows neither other accounts nor the same account elsewhere") {
  World world;
  for (int i = 0; i < 10'000; ++i) {  // for most of three hours
    world.fail("alice", "192.0.2.1");
    world.now += 1s;
  }
  world.fail("alice", "192.0.2.1");
  CHECK(world.wait("alice", "192.0.2.1") > 0s);
  CHECK(world.wait("bob", "192.0.2.1") == 0s);
  CHECK(world.wait("alice", "192.0.2.2") == 0s);
  for (int i = 0; i < 200; ++i) CHECK(world.succeed("account" + std::to_string(i), "192.0.2.1") == 0s);
  for (int i = 0; i < 200; ++i) CHECK(world.succeed("alice", "198.51.100." + std::to_string(i)) == 0s);
}

TEST_CASE("many accounts from one address are slowed, but not who has logged in from there") {
  World world;
  CHECK(world.succeed("bob", "192.0.2.1") == 0s);
  int tried = 0;
  for (int i = 0; i < 1000; ++i) tried += world.fail("account" + std::to_string(i), "192.0.2.1") == 0s ? 1 : 0;
  CHECK(tried == 21);
  CHECK(world.wait("carol", "192.0.2.1") == 1s);
  CHECK(world.wait("bob", "192.0.2.1") == 0s);
  CHECK(world.wait("carol", "192.0.2.2") == 0s);
  // The second round costs as much as the first.
  int hour = 0;
  const SteadyTime end = world.now + 1h;
  for (int i = 0; world.now < end; ++i) {
    const auto wait = world.fail("account" + std::to_string(i % 50), "192.0.2.1");
    hour += wait == 0s ? 1 : 0;
    world.now += std::max<std::chrono::seconds>(wait, 0s);
  }
  CHECK(hour < 600);
}

TEST_CASE("an account attacked from many addresses is slowed, but not for who has logged in") {
  World world;
  CHECK(world.succeed("alice", "192.0.2.1") == 0s);
  int tried = 0;
  for (int i = 0; i < 1000; ++i) {
    tried += world.fail("alice", "10.0." + std::to_string(i / 256) + '.' + std::to_string(i % 256)) == 0s ? 1 : 0;
  }
  CHECK(tried == 11);
  CHECK(world.wait("alice", "192.0.2.2") == 1s);
  CHECK(world.wait("alice", "192.0.2.1") == 0s);
  CHECK(world.wait("bob", "10.0.0.1") == 0s);
  // Her own typing mistakes are slowed as anybody's.
  for (int i = 0; i < 6; ++i) CHECK(world.fail("alice", "192.0.2.1") == 0s);
  CHECK(world.wait("alice", "192.0.2.1") == 1s);
  world.now += 1s;
  CHECK(world.succeed("alice", "192.0.2.1") == 0s);
  CHECK(world.fail("alice", "192.0.2.1") == 0s);
  CHECK(world.wait("alice", "192.0.2.1") == 0s);
}

TEST_CASE("guessing in parallel is no faster, and right logins in parallel are not slowed") {
  World world;
  SECTION("right ones") {
    std::vector<LoginThrottle::Admission> under_way;
    for (int i = 0; i < 200; ++i) {
      under_way.push_back(world.throttle.admit("alice", "192.0.2.1", world.now));
      CHECK(under_way.back().attempt);
    }
    for (auto& admission : under_way) admission.attempt->succeeded(world.now);
    CHECK(world.wait("alice", "192.0.2.1") == 0s);
  }
  SECTION("after a failure") {
    CHECK(world.fail("alice", "192.0.2.1") == 0s);
    std::vector<LoginThrottle::Admission> under_way;
    int let_in = 0;
    for (int i = 0; i < 100; ++i) {
      under_way.push_back(world.throttle.admit("alice", "192.0.2.1", world.now));
      let_in += under_way.back().attempt ? 1 : 0;
    }
    CHECK(let_in == 4);
    SECTION("those who give up count for nothing") {
      under_way.clear();
      for (int i = 0; i < 4; ++i) CHECK(world.fail("alice", "192.0.2.1") == 0s);
      CHECK(world.wait("alice", "192.0.2.1") == 0s);
    }
    SECTION("moved attempts end once") {
      LoginThrottle::Attempt moved = std::move(*under_way[0].attempt);
      moved.failed(world.now);
      moved.failed(world.now);
      under_way.clear();
      CHECK(world.throttle.admit("alice", "192.0.2.1", world.now).attempt);
    }
  }
}

TEST_CASE("memory is bounded, and failures do not push out who logged in") {
  World world({.gates_max = 100});
  CHECK(world.succeed("alice", "192.0.2.1") == 0s);
  for (int i = 0; i < 5000; ++i) {
    world.fail("account" + std::to_string(i), "10.0." + std::to_string(i / 256) + '.' + std::to_string(i % 256));
  }
  CHECK(world.throttle.size() <= 301);
  for (int i = 0; i < 20; ++i) world.fail("alice", "10.1.0." + std::to_string(i));
  CHECK(world.wait("alice", "192.0.2.9") > 0s);
  CHECK(world.wait("alice", "192.0.2.1") == 0s);
  for (int i = 0; i < 500; ++i) world.succeed("user" + std::to_string(i), "192.0.2.1");
  CHECK(world.throttle.size() <= 400);
}

TEST_CASE("addresses count by what one person can have") {
  struct Row {
    const char* address;
    const char* group;
  };
  const Row rows[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"::ffff:192.0.2.1", "192.0.2.1"},
      {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
      {"2001:DB8:1:2::", "2001:db8:1:2::/64"},
      {"2001:db8:1:3::1", "2001:db8:1:3::/64"},
      {"::1", "::/64"},
      {"local socket", "local socket"},
      {"", ""},
  };
  for (const auto& row : rows) {
    INFO(row.address);
    CHECK(address_group(row.address) == row.group);
  }
}

TEST_CASE("the throttle is safe to use from many threads") {
  World world({.gates_max = 50});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&world, t] {
      for (int i = 0; i < 2000; ++i) {
        auto admission = world.throttle.admit("a" + std::to_string(i % 7), "10.0.0." + std::to_string(i % 90), SteadyTime(std::chrono::seconds(i)));
        if (!admission.attempt) continue;
        if ((i + t) % 3 == 0) admission.attempt->failed(SteadyTime(std::chrono::seconds(i)));
        if ((i + t) % 3 == 1) admission.attempt->succeeded(SteadyTime(std::chrono::seconds(i)));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(world.throttle.size() <= 200);
}

}  // namespace berth::auth
