#include "auth/token_keys.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/auth/token_world.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;
using registry::SigningKeyState;

KeyRing::Options ring_options() { return {.rotation = 720h, .lead = 1h, .retired_for = 1h}; }

struct World : testing::IdentityWorld {
  explicit World(const KeyRing::Options& options = ring_options()) : keys(identities(), pool, clock, options) {}

  std::vector<registry::TokenKey> stored() { return must(identities().list_token_keys()); }
  std::string signer() { return must(keys.to_sign())->signer(clock.wall())->id(); }
  bool knows(const std::string& id) { return must(keys.current())->find(id, clock.wall()) != nullptr; }
  SigningKeyState state_of(const std::string& id) {
    for (const auto& key : stored()) {
      if (key.id == id) return key.state;
    }
    FAIL("there is no key " + id);
    return {};
  }

  TokenKeys keys;
};

std::string other_than(const std::string& id, const std::vector<registry::TokenKey>& keys) {
  for (const auto& key : keys) {
    if (key.id != id) return key.id;
  }
  FAIL("there is no other key");
  return {};
}

}  // namespace

TEST_CASE("the first key is made for the first token") {
  World world;
  CHECK(world.must(world.keys.current())->signer(world.clock.wall()) == nullptr);
  CHECK(world.stored().empty());
  const std::string id = world.signer();
  REQUIRE(world.stored().size() == 1);
  CHECK(world.stored()[0].id == id);
  CHECK(world.stored()[0].state == SigningKeyState::active);
  CHECK(world.stored()[0].algorithm == "ES256");
  CHECK(world.signer() == id);
  CHECK(world.knows(id));
  // Another process, or this one after a restart.
  TokenKeys other(world.identities(), world.pool, world.clock, ring_options());
  CHECK(world.must(other.to_sign())->signer(world.clock.wall())->id() == id);
}

TEST_CASE("all who come at once wait for the one first key") {
  World world;
  constexpr int kThreads = 4, kEach = 25;
  std::mutex mutex;
  std::set<std::string> ids;
  int failed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      asio::io_context io(1);
      const auto take = [&](std::exception_ptr stray, Result<TokenKeys::Ring> ring) {
        const std::lock_guard lock(mutex);
        const SigningKey* key = !stray && ring ? (*ring)->signer(world.clock.wall()) : nullptr;
        if (key == nullptr) ++failed;
        if (key != nullptr) ids.insert(key->id());
      };
      for (int i = 0; i < kEach; ++i) asio::co_spawn(io, world.keys.to_sign(), take);
      io.run();
      kv::ViewSource::release_thread_cache();
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(failed == 0);
  CHECK(ids.size() == 1);
  CHECK(world.stored().size() == 1);
}

TEST_CASE("a key follows another without a gap") {
  World world;
  const std::string first = world.signer();
  world.clock.advance(720h - 1h - 1ms);
  CHECK(world.signer() == first);
  CHECK(world.stored().size() == 1);

  world.clock.advance(1ms);
  CHECK(world.signer() == first);
  REQUIRE(world.stored().size() == 2);
  const std::string second = other_than(first, world.stored());
  CHECK(world.state_of(second) == SigningKeyState::next);
  CHECK(world.must(world.keys.current())->jwks(world.clock.wall()).find(second) != std::string::npos);

  world.clock.advance(1h - 1ms);
  CHECK(world.signer() == first);
  world.clock.advance(1ms);
  CHECK(world.signer() == second);
  CHECK(world.state_of(second) == SigningKeyState::active);
  CHECK(world.state_of(first) == SigningKeyState::retired);
  CHECK(world.knows(first));

  world.clock.advance(1h - 1ms);
  CHECK(world.knows(first));
  world.clock.advance(1ms);
  CHECK_FALSE(world.knows(first));
  CHECK(world.signer() == second);
  CHECK(world.stored().size() == 1);
  CHECK(world.knows(second));
}

TEST_CASE("a next key signs at its time though nobody stored that") {
  World world;
  const std::string first = world.signer();
  world.clock.advance(719h);
  CHECK(world.signer() == first);
  const std::string second = other_than(first, world.stored());
  world.clock.advance(1h);
  world.stop_writing();
  CHECK(world.signer() == second);
  CHECK(world.knows(first));
  CHECK(world.signer() == second);  // and trying in vain is no harm
}

TEST_CASE("a key that nobody asked for comes late and is still announced") {
  World world;
  const std::string first = world.signer();
  world.clock.advance(24h * 365);
  CHECK(world.signer() == first);
  const std::string second = other_than(first, world.stored());
  world.clock.advance(1h);
  CHECK(world.signer() == second);
  CHECK(world.knows(first));
}

TEST_CASE("a key that an administrator takes away is gone at once") {
  World world;
  const std::string first = world.signer();
  world.clock.advance(719h);
  CHECK(world.signer() == first);
  const std::string second = other_than(first, world.stored());
  world.must_do(world.identities().activate_token_key(testing::kRoot, second));
  CHECK(world.signer() == second);
  world.must_do(world.identities().remove_token_key(testing::kRoot, first));
  CHECK_FALSE(world.knows(first));
  CHECK(world.signer() == second);
}

TEST_CASE("another algorithm begins with the next key") {
  World world;
  const std::string first = world.signer();
  KeyRing::Options options = ring_options();
  options.algorithm = Algorithm::eddsa;
  TokenKeys changed(world.identities(), world.pool, world.clock, options);
  CHECK(world.must(changed.to_sign())->signer(world.clock.wall())->id() == first);
  world.clock.advance(1h);
  CHECK(world.must(changed.to_sign())->signer(world.clock.wall())->algorithm() == Algorithm::eddsa);
  CHECK(world.must(changed.to_sign())->find(first, world.clock.wall()) != nullptr);
}

TEST_CASE("keys that cannot be stored") {
  World world;
  SECTION("the first one is an error") {
    world.stop_writing();
    const auto ring = run_task(world.keys.to_sign());
    REQUIRE_FALSE(ring);
    const auto again = run_task(world.keys.to_sign());
    REQUIRE_FALSE(again);
  }
  SECTION("a later one is not: the old one goes on") {
    const std::string first = world.signer();
    world.clock.advance(800h);
    world.stop_writing();
    CHECK(world.signer() == first);
    CHECK(world.signer() == first);
  }
}

TEST_CASE("stored keys that berth cannot read do not stand in the way") {
  World world;
  registry::NewTokenKey odd{.id = "odd", .algorithm = "ES1024", .pkcs8 = "no key"};
  world.must(world.identities().add_token_key(testing::kRoot, odd));
  const std::string id = world.signer();
  CHECK(id != "odd");
  CHECK(world.knows(id));
}

TEST_CASE("a clock that was set back") {
  World world;
  world.clock.advance(720h);
  const std::string id = world.signer();
  world.clock.jump_wall(-700h);
  CHECK(world.signer() == id);
  CHECK(world.stored().size() == 1);
}

}  // namespace berth::auth
