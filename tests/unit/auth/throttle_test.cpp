#include "auth/throttle.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/seeded_entropy.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;

/// Somebody who asks to be let in, and what they were told.
class Asker final : public LoginThrottle::Turn {
 public:
  std::optional<Result<LoginThrottle::Admission>> told;
  bool ended = false;
  bool waits() const { return !told; }
  bool is_in() const { return told && *told && (*told)->attempt && !ended; }
  bool is_refused() const { return told && *told && !(*told)->attempt; }
  LoginThrottle::Attempt& attempt() { return *(*told)->attempt; }
  void give_up() { cancel(); }
  void end(SteadyTime now, bool right) {
    ended = true;
    right ? attempt().succeeded(now) : attempt().failed(now);
  }

 private:
  void resume(Result<LoginThrottle::Admission> answer) override {
    ignore(answer);  // not every test looks
    told.emplace(std::move(answer));
  }
};

/// Ends on the thread that lets it in.
class Busy final : public LoginThrottle::Turn {
 public:
  Busy(int how, SteadyTime now) : how_(how), now_(now) {}

 private:
  void resume(Result<LoginThrottle::Admission> answer) override {
    if (!answer || !answer->attempt) return;
    if (how_ == 0) answer->attempt->failed(now_);
    if (how_ == 1) answer->attempt->succeeded(now_);
  }
  const int how_;
  const SteadyTime now_;
};

using Askers = std::vector<std::shared_ptr<Asker>>;

std::ptrdiff_t count(const Askers& askers, bool (Asker::*is)() const) {
  return std::count_if(askers.begin(), askers.end(), [is](const auto& asker) { return ((*asker).*is)(); });
}

struct World {
  explicit World(const LoginThrottle::Options& options = {}) : throttle(entropy, options) {}

  std::shared_ptr<Asker> ask(std::string_view account, std::string_view address) {
    auto asker = std::make_shared<Asker>();
    throttle.admit(account, address, now, asker);
    return asker;
  }
  /// 0 when let in, and then it fails.
  std::chrono::seconds fail(std::string_view account, std::string_view address) {
    const auto asker = ask(account, address);
    if (!asker->is_in()) return std::max(throttle.wait(account, address, now), 1s);
    asker->attempt().failed(now);
    return 0s;
  }
  std::chrono::seconds succeed(std::string_view account, std::string_view address) {
    const auto asker = ask(account, address);
    if (!asker->is_in()) return std::max(throttle.wait(account, address, now), 1s);
    asker->attempt().succeeded(now);
    return 0s;
  }
  std::chrono::seconds wait(std::string_view account, std::string_view address) {
    return throttle.wait(account, address, now);
  }
  /// Those who are in fail, or succeed, until nobody waits any more; how many were in?
  int end(const Askers& askers, bool right) {
    int ended = 0;
    for (bool some = true; some;) {
      some = false;
      for (const auto& asker : askers) {
        if (!asker->is_in()) continue;
        asker->end(now, right);
        ++ended;
        some = true;
      }
    }
    CHECK(count(askers, &Asker::waits) == 0);
    return ended;
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
  Askers askers;
  SECTION("right ones") {
    for (int i = 0; i < 200; ++i) askers.push_back(world.ask("alice", "192.0.2.1"));
    CHECK(count(askers, &Asker::is_in) == 5);
    CHECK(world.end(askers, true) == 200);
    CHECK(world.wait("alice", "192.0.2.1") == 0s);
  }
  SECTION("right ones of different users") {
    for (int i = 0; i < 200; ++i) askers.push_back(world.ask("user" + std::to_string(i), "192.0.2.1"));
    CHECK(count(askers, &Asker::is_in) == 8);
    CHECK(world.end(askers, true) == 200);
  }
  SECTION("without a failure before") {
    for (int i = 0; i < 258; ++i) askers.push_back(world.ask("alice", "192.0.2.1"));
    CHECK(count(askers, &Asker::is_in) == 5);
    CHECK(world.end(askers, false) == 6);
    CHECK(count(askers, &Asker::is_refused) == 252);
  }
  SECTION("every time that the bucket is full again, for a day") {
    int guesses = 0;
    for (const SteadyTime end = world.now + 24h; world.now < end; world.now += 180s) {
      askers.clear();
      for (int i = 0; i < 258; ++i) askers.push_back(world.ask("alice", "192.0.2.1"));
      guesses += world.end(askers, false);
    }
    CHECK(guesses <= 2900);
  }
  SECTION("from many addresses") {
    for (int i = 0; i < 100; ++i) askers.push_back(world.ask("alice", "198.51.100." + std::to_string(i)));
    CHECK(count(askers, &Asker::is_in) == 10);
    CHECK(world.end(askers, false) == 11);
  }
  SECTION("many names that nobody has") {
    for (int i = 0; i < 258; ++i) askers.push_back(world.ask("random" + std::to_string(i), "192.0.2.1"));
    CHECK(count(askers, &Asker::is_in) == 8);
    CHECK(world.end(askers, false) == 21);
    CHECK(count(askers, &Asker::is_refused) == 237);
  }
  SECTION("after a failure") {
    CHECK(world.fail("alice", "192.0.2.1") == 0s);
    for (int i = 0; i < 100; ++i) askers.push_back(world.ask("alice", "192.0.2.1"));
    CHECK(count(askers, &Asker::is_in) == 4);
    CHECK(count(askers, &Asker::waits) == 96);
    SECTION("those who give up count for nothing") {
      for (const auto& asker : askers) asker->give_up();
      askers.clear();
      CHECK(world.throttle.waiting() == 0);
      for (int i = 0; i < 4; ++i) CHECK(world.fail("alice", "192.0.2.1") == 0s);
      CHECK(world.wait("alice", "192.0.2.1") == 0s);
    }
    SECTION("moved attempts end once") {
      LoginThrottle::Attempt moved = std::move(askers[0]->attempt());
      moved.failed(world.now);
      moved.failed(world.now);
      for (const auto& asker : askers) asker->give_up();
      askers.clear();
      CHECK(world.fail("alice", "192.0.2.1") == 0s);
      CHECK(world.wait("alice", "192.0.2.1") == 0s);
    }
  }
}

TEST_CASE("who is known gets in beside any number of strangers") {
  World world;
  CHECK(world.succeed("bob", "192.0.2.1") == 0s);
  Askers strangers;
  for (int address = 0; address < 200; ++address) {
    for (int i = 0; i < 60; ++i) {
      strangers.push_back(world.ask(std::to_string(address * 60 + i), "192.0.2." + std::to_string(address)));
    }
  }
  CHECK(count(strangers, &Asker::is_in) == 32);
  CHECK(world.ask("bob", "192.0.2.1")->is_in());
  SECTION("a fleet of machines that share a credential among them") {
    Askers fleet;
    for (int i = 0; i < 200; ++i) fleet.push_back(world.ask("bob", "192.0.2.1"));
    CHECK(count(fleet, &Asker::is_in) == 32);
    CHECK(world.end(fleet, true) == 200);
  }
  SECTION("one from an address where nobody waits has a place, and its turn soon") {
    CHECK(world.throttle.waiting() == 4096);
    const auto carol = world.ask("carol", "203.0.113.1");
    CHECK(world.throttle.waiting() == 4096);
    CHECK(carol->waits());
    for (int i = 0; i < 500 && carol->waits(); ++i) {
      const auto first = std::find_if(strangers.begin(), strangers.end(), [](const auto& one) { return one->is_in(); });
      (*first)->end(world.now, false);
    }
    CHECK(carol->is_in());
  }
  SECTION("those who waited for too long are not checked any more") {
    world.now += 31s;
    for (const auto& one : strangers) {
      if (one->is_in()) one->end(world.now, false);
    }
    CHECK(count(strangers, &Asker::is_in) == 0);
    CHECK(world.throttle.waiting() == 0);
  }
  SECTION("when it stops, nobody waits any more") {
    world.throttle.stop();
    CHECK(world.throttle.waiting() == 0);
    CHECK(count(strangers, &Asker::waits) == 0);
    const auto late = world.ask("bob", "192.0.2.1");
    REQUIRE(late->told);
    CHECK(late->told->failed_with(ErrorCode::unavailable));
  }
}

TEST_CASE("who shares an address with the owner of an account cannot lock the owner out") {
  World world;
  CHECK(world.succeed("alice", "192.0.2.1") == 0s);
  const SteadyTime end = world.now + 1h;
  std::chrono::seconds longest{};
  while (world.now < end) {
    world.fail("alice", "192.0.2.1");
    const auto wait = world.wait("alice", "192.0.2.1");
    longest = std::max(longest, wait);
    world.now += wait;
    if (wait > 0s) CHECK(world.wait("alice", "192.0.2.1") == 0s);
  }
  CHECK(longest == 1s);
  CHECK(world.succeed("alice", "192.0.2.1") == 0s);
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
        const SteadyTime now{std::chrono::seconds(i)};
        const auto busy = std::make_shared<Busy>((i + t) % 3, now);
        world.throttle.admit("a" + std::to_string(i % 7), "10.0.0." + std::to_string(i % 90), now, busy);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(world.throttle.size() <= 200);
  CHECK(world.throttle.waiting() == 0);
}

}  // namespace berth::auth
