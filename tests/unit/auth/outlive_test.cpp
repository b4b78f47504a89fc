// Nothing lets anybody in for longer than whoever it was given to may come in.
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/unit/auth/outlive_world.h"

namespace berth::auth {
namespace {

using namespace testing;
using namespace std::chrono_literals;

constexpr const char* kScope = "repository:team/app:pull";

}  // namespace

TEST_CASE("whatever was had of a user ends with the user") {
  struct Row {
    const char* name;
    void (*take)(World&);
    bool comes_in;  ///< afterwards, by the password
  };
  const auto end = GENERATE(values<Row>({
      {"deleted", [](World& w) { w.must_do(w.identities().delete_user(kRoot, "alice", registry::Erasure::keep_name)); }, false},
      {"disabled", [](World& w) { w.must(w.identities().update_user(kRoot, "alice", {.enabled = false})); }, false},
      {"deleted, and somebody else of that name came",
       [](World& w) {
         w.must_do(w.identities().delete_user(kRoot, "alice", registry::Erasure::keep_name));
         w.clock.advance(1s);
         w.add_user("alice", "another password");
         w.give("user:alice", "team/**");
       },
       false},
  }));
  World world;
  world.add_user("alice", "password");
  world.give("user:alice", "team/**");
  const Caller password = World::basic("alice", "password");
  const Caller personal = World::bearer(world.secret(SecretKind::personal, "user:alice"));
  const TokenAnswer answer = world.ask(password, kScope, true);
  const Caller token = World::bearer(answer.access.token);
  const Caller through_personal = World::bearer(world.ask(personal, kScope).access.token);
  REQUIRE_FALSE(answer.refresh_token.empty());
  for (const Caller& caller : {password, personal, token, through_personal}) {
    REQUIRE(world.pulls(caller, "team/app").empty());
  }
  const auto renewed = world.renew(answer.refresh_token);
  REQUIRE(renewed);
  const Caller renewed_token = World::bearer(renewed->access.token);
  REQUIRE(world.pulls(renewed_token, "team/app").empty());

  INFO(end.name);
  end.take(world);
  CHECK(world.pulls(password, "team/app") == "unauthorized");
  CHECK(world.pulls(personal, "team/app") == "unauthorized");
  CHECK(world.pulls(token, "team/app") == "unauthorized");
  CHECK(world.pulls(through_personal, "team/app") == "unauthorized");
  CHECK(world.pulls(renewed_token, "team/app") == "unauthorized");
  const auto again = world.renew(answer.refresh_token);
  CHECK(again.failed_with(ErrorCode::unauthorized));
}

TEST_CASE("a credential is revoked for what it was exchanged for as well") {
  World world;
  world.add_user("alice", "password");
  world.must(world.identities().create_robot(kRoot, {.name = "ci"}));
  world.give("user:alice", "team/**");
  world.give("robot:ci", "team/**");
  registry::IdentityNumber personal_id = 0, robot_id = 0;
  const Caller personal = World::bearer(world.secret(SecretKind::personal, "user:alice", &personal_id));
  const Caller robot = World::basic("whoever", world.secret(SecretKind::robot, "robot:ci", &robot_id));
  const Caller other = World::basic("x", world.secret(SecretKind::robot, "robot:ci"));
  const Caller by_personal = World::bearer(world.ask(personal, kScope).access.token);
  const Caller by_robot = World::bearer(world.ask(robot, kScope).access.token);
  for (const Caller& caller : {personal, robot, other, by_personal, by_robot}) REQUIRE(world.pulls(caller, "team/app").empty());

  world.must_do(world.identities().revoke(kRoot, registry::CredentialKind::personal_token, "user:alice", personal_id));
  CHECK(world.pulls(personal, "team/app") == "unauthorized");
  CHECK(world.pulls(by_personal, "team/app") == "unauthorized");
  world.must_do(world.identities().revoke(kRoot, registry::CredentialKind::robot_secret, "robot:ci", robot_id));
  CHECK(world.pulls(robot, "team/app") == "unauthorized");
  CHECK(world.pulls(by_robot, "team/app") == "unauthorized");
  CHECK(world.pulls(other, "team/app").empty());
  world.must(world.identities().update_robot(kRoot, "ci", {.enabled = false}));
  CHECK(world.pulls(other, "team/app") == "unauthorized");
}

// CVE-2025-23208: memberships that only ever grow.
TEST_CASE("groups and grants that are taken away are gone at the next request, from tokens too") {
  World world;
  world.must(world.identities().create_group(kRoot, {.name = "dev"}));
  world.add_user("alice", "password", {"dev"});
  const auto grant = world.give("group:dev", "team/**");
  const auto own = world.give("user:alice", "own/**");
  const Caller password = World::basic("alice", "password");
  const Caller token = World::bearer(world.ask(password, "repository:team/app:pull repository:own/app:pull").access.token);
  REQUIRE(world.pulls(password, "team/app").empty());
  REQUIRE(world.pulls(token, "team/app").empty());
  SECTION("the group loses the grant") {
    world.must_do(world.identities().delete_grant(kRoot, grant));
  }
  SECTION("the user leaves the group") {
    world.must(world.identities().update_user(kRoot, "alice", {.groups = std::vector<std::string>{}}));
  }
  SECTION("the group goes") {
    world.must_do(world.identities().delete_group(kRoot, "dev"));
  }
  CHECK(world.pulls(password, "team/app") == "denied");
  CHECK(world.pulls(token, "team/app") == "denied");
  CHECK(world.pulls(token, "own/app").empty());
  world.must_do(world.identities().delete_grant(kRoot, own));
  CHECK(world.pulls(token, "own/app") == "denied");
}

TEST_CASE("a token of somebody in a file is not inherited by a local user of that name") {
  const std::string file =
      std::filesystem::temp_directory_path() / ("berth-outlive-" + std::to_string(::getpid()) + ".htpasswd");
  const auto write = [&file](std::string_view text) { std::ofstream(file) << text; };
  write("bob:$2y$04$" + std::string(53, 'a') + '\n');
  World world(file);
  world.give("user:bob", "team/**");
  const Caller personal =
      World::bearer(world.secret(SecretKind::personal, "user:bob", nullptr, registry::OwnerOrigin::outside));
  REQUIRE(world.pulls(personal, "team/app").empty());
  write("# nobody\n");
  world.clock.advance(10s);
  REQUIRE(world.pulls(personal, "team/app") == "unauthorized");
  world.add_user("bob", "another password");
  CHECK(world.pulls(World::basic("bob", "another password"), "team/app").empty());
  CHECK(world.pulls(personal, "team/app") == "unauthorized");
  world.clock.advance(1s);
  CHECK(world.pulls(World::bearer(world.secret(SecretKind::personal, "user:bob")), "team/app").empty());
  std::filesystem::remove(file);
}

TEST_CASE("a wrong password takes as long for whomever it is tried") {
  const std::string file =
      std::filesystem::temp_directory_path() / ("berth-equal-" + std::to_string(::getpid()) + ".htpasswd");
  std::ofstream(file) << "bob:$2y$04$" << std::string(53, 'a') << '\n';  // a millisecond, and argon2 takes far longer
  World world(file, {.iterations = 4, .memory_kib = 32 << 10, .lanes = 1});
  world.add_user("alice", "password");
  int peer = 0;
  const auto fastest = [&](const std::string& user) {
    auto best = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < 3; ++i) {
      Caller caller = World::basic(user, "wrong");
      caller.peer = "10.0.0." + std::to_string(++peer);
      const auto begun = std::chrono::steady_clock::now();
      CHECK(world.who(caller).failed_with(ErrorCode::unauthorized));
      best = std::min(best, std::chrono::steady_clock::now() - begun);
    }
    return std::chrono::duration<double>(best).count();
  };
  const double local = fastest("alice"), in_file = fastest("bob"), nobody = fastest("carol"), no_name = fastest("not a name");
  INFO("local " << local << " s, in the file " << in_file << " s, unknown " << nobody << " s, no name " << no_name << " s");
  for (const double one : {local, in_file, no_name}) CHECK(one > nobody / 10);
  CHECK(nobody > local / 10);
  std::filesystem::remove(file);
}

TEST_CASE("a right is gone for every request that begins after it was taken, also in the middle of many") {
  World world;
  world.add_user("alice", "password");
  const Caller caller = World::bearer(world.secret(SecretKind::personal, "user:alice"));
  std::atomic<bool> running{true};
  // By four: 1, the right is given; 0, it is taken away; 2, one of the two is under way.
  std::atomic<std::uint64_t> epoch{2};
  std::atomic<int> wrong{0}, looked{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (running) {
        const auto before = epoch.load();
        const bool allowed = world.pulls(caller, "team/app").empty();
        if (before != epoch.load()) continue;
        if ((before % 4 == 0 && allowed) || (before % 4 == 1 && !allowed)) ++wrong;
        if (before % 4 != 2) ++looked;
      }
      kv::ViewSource::release_thread_cache();
    });
  }
  for (std::uint64_t round = 0; round < 50; ++round) {
    const auto id = world.give("user:alice", "team/**");
    epoch = round * 8 + 5;
    std::this_thread::sleep_for(1ms);
    epoch = round * 8 + 6;
    world.must_do(world.identities().delete_grant(kRoot, id));
    epoch = round * 8 + 8;
    std::this_thread::sleep_for(1ms);
    epoch = round * 8 + 10;
  }
  running = false;
  for (auto& reader : readers) reader.join();
  CHECK(wrong == 0);
  CHECK(looked > 0);
}

}  // namespace berth::auth
