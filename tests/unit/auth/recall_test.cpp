// Who showed a credential a moment ago is taken for the same one without a second look, and only while everything that
// the answer was made of stands still.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "auth/identity_memo.h"
#include "tests/unit/auth/outlive_world.h"

namespace berth::auth {
namespace {

using namespace testing;
using namespace std::chrono_literals;

constexpr const char* kScope = "repository:team/app:pull";
/// Less than anything is kept for.
constexpr auto kMoment = 500ms;
static_assert(kMoment < IdentityMemo::kKeptFor);

/// Alice by her password, by an access token, by a personal token in both ways, and by an access token for that; and a
/// robot.
struct People : World {
  People() {
    must(identities().create_group(kRoot, {.name = "dev"}));
    add_user("alice", "password", {"dev"});
    must(identities().create_robot(kRoot, {.name = "ci"}));
    grant = give("group:dev", "team/**");
    give("robot:ci", "team/**");
    password = basic("alice", "password");
    token = bearer(ask(password, kScope).access.token);
    const std::string text = secret(SecretKind::personal, "user:alice", &personal_id);
    personal = bearer(text);
    personal_as_password = basic("x", text);
    by_personal = bearer(ask(personal, kScope).access.token);
    robot = basic("x", secret(SecretKind::robot, "robot:ci", &robot_id));
  }
  std::vector<Caller> alices() const { return {password, token, personal, personal_as_password, by_personal}; }
  /// So that they are known.
  void meet(const std::vector<Caller>& callers) {
    for (const Caller& caller : callers) {
      for (int i = 0; i < 2; ++i) REQUIRE(pulls(caller, "team/app").empty());
      REQUIRE(recalls(caller));
    }
  }

  Caller password, token, personal, personal_as_password, by_personal, robot;
  registry::IdentityNumber grant = 0, personal_id = 0, robot_id = 0;
};

}  // namespace

TEST_CASE("who is known is the one that was looked at") {
  People w;
  for (const Caller& caller : {w.password, w.token, w.personal, w.personal_as_password, w.by_personal, w.robot}) {
    const auto looked_at = w.must(w.access->identify(caller));
    ignore(w.who(caller));
    const auto policy = w.must(w.access->policy());
    const auto known = w.access->recall(World::glance(caller));
    REQUIRE(known.has_value());
    CHECK(known->principal->subject == looked_at->subject);
    CHECK(known->principal->subjects == looked_at->subjects);
    CHECK(known->principal->method == looked_at->method);
    CHECK(known->principal->actor == looked_at->actor);
    CHECK(known->principal->from_token == looked_at->from_token);
    CHECK(known->principal->testimony == looked_at->testimony);
    CHECK(known->principal->ceiling.has_value() == looked_at->ceiling.has_value());
    CHECK(known->principal->asked_for == looked_at->asked_for);
    CHECK(known->policy.get() == policy.get());
  }
}

TEST_CASE("a change of an identity ends what was known") {
  struct Row {
    const char* name;
    std::function<void(People&)> change;
    const char* pulls;  ///< what alice's pulls answer afterwards; null: as before
  };
  const Row rows[] = {
      {"the user is disabled", [](People& w) { w.must(w.identities().update_user(kRoot, "alice", {.enabled = false})); }, "unauthorized"},
      {"the user goes", [](People& w) { w.must_do(w.identities().delete_user(kRoot, "alice", registry::Erasure::keep_name)); }, "unauthorized"},
      {"the user leaves the group", [](People& w) { w.must(w.identities().update_user(kRoot, "alice", {.groups = std::vector<std::string>{}})); }, "denied"},
      {"the group goes", [](People& w) { w.must_do(w.identities().delete_group(kRoot, "dev")); }, "denied"},
      {"the grant goes", [](People& w) { w.must_do(w.identities().delete_grant(kRoot, w.grant)); }, "denied"},
      {"somebody else came", [](People& w) { w.add_user("bob", "password"); }, ""},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    People w;
    w.meet(w.alices());
    row.change(w);
    for (const Caller& caller : w.alices()) {
      CHECK_FALSE(w.recalls(caller));
      CHECK(w.pulls(caller, "team/app") == row.pulls);
    }
  }
}

TEST_CASE("a credential that is taken away is unknown at once") {
  People w;
  w.meet(w.alices());
  w.meet({w.robot});
  SECTION("another password") {
    w.must(w.identities().update_user(kRoot, "alice", {.password_hash = hash_password("other", w.entropy, w.cost).value()}));
    CHECK(w.pulls(w.password, "team/app") == "unauthorized");
    CHECK(w.pulls(w.personal, "team/app").empty());
  }
  SECTION("a personal token") {
    w.must_do(w.identities().revoke(kRoot, registry::CredentialKind::personal_token, "user:alice", w.personal_id));
    CHECK(w.pulls(w.personal, "team/app") == "unauthorized");
    CHECK(w.pulls(w.personal_as_password, "team/app") == "unauthorized");
    CHECK(w.pulls(w.by_personal, "team/app") == "unauthorized");
    CHECK(w.pulls(w.password, "team/app").empty());
  }
  SECTION("a robot's secret") {
    w.must_do(w.identities().revoke(kRoot, registry::CredentialKind::robot_secret, "robot:ci", w.robot_id));
    CHECK(w.pulls(w.robot, "team/app") == "unauthorized");
  }
  SECTION("a robot") {
    w.must(w.identities().update_robot(kRoot, "ci", {.enabled = false}));
    CHECK(w.pulls(w.robot, "team/app") == "unauthorized");
  }
  SECTION("the key that signed the token") {
    const auto old = w.must(w.identities().list_token_keys());
    REQUIRE(old.size() == 1);
    const SigningKey key = SigningKey::generate(Algorithm::es256).value();
    w.must(w.identities().add_token_key(kRoot, {key.id(), "ES256", key.to_pkcs8()}));
    w.must_do(w.identities().activate_token_key(kRoot, key.id()));
    CHECK(w.pulls(w.token, "team/app").empty());
    w.meet({w.token});
    w.must_do(w.identities().remove_token_key(kRoot, old[0].id));
    CHECK(w.pulls(w.token, "team/app") == "unauthorized");
    CHECK(w.pulls(w.password, "team/app").empty());
  }
}

TEST_CASE("settings that were read anew end what was known") {
  People w;
  w.meet(w.alices());
  w.access->set_configured({}, {});
  CHECK_FALSE(w.recalls(w.password));  // the policy has to be made first
  w.must(w.access->policy());
  for (const Caller& caller : w.alices()) CHECK_FALSE(w.recalls(caller));
}

TEST_CASE("nobody is known for longer than a moment") {
  People w;
  w.meet(w.alices());
  w.clock.advance(IdentityMemo::kKeptFor - 1ms);
  for (const Caller& caller : w.alices()) CHECK(w.recalls(caller));
  w.clock.advance(1ms);
  for (const Caller& caller : w.alices()) CHECK_FALSE(w.recalls(caller));
}

TEST_CASE("what ends with time is not known after it") {
  People w;
  SECTION("a token") {
    w.clock.advance(300s - kMoment);
    w.meet({w.token});
    w.clock.advance(kMoment - 1ms);
    CHECK(w.recalls(w.token));
    w.clock.advance(1ms);
    CHECK_FALSE(w.recalls(w.token));
    w.clock.advance(60s);
    CHECK(w.pulls(w.token, "team/app") == "unauthorized");
  }
  SECTION("a token that is not yet good when the clock is set back") {
    w.meet({w.token});
    w.clock.jump_wall(-1s);
    CHECK_FALSE(w.recalls(w.token));
  }
  SECTION("a personal token, and what was had with it") {
    const Caller brief = World::bearer(w.secret(SecretKind::personal, "user:alice", nullptr, registry::OwnerOrigin::local,
                                                w.clock.wall() + kMoment));
    const Caller token = World::bearer(w.ask(brief, kScope).access.token);
    w.meet({brief, token});
    w.clock.advance(kMoment - 1ms);
    CHECK(w.recalls(brief));
    CHECK(w.recalls(token));
    w.clock.advance(1ms);
    CHECK(w.pulls(brief, "team/app") == "unauthorized");
    CHECK(w.pulls(token, "team/app") == "unauthorized");
  }
  SECTION("a robot, and what was had by it") {
    w.must(w.identities().create_robot(kRoot, {.name = "brief", .expires_at = w.clock.wall() + kMoment}));
    w.give("robot:brief", "team/**");
    const Caller robot = World::basic("x", w.secret(SecretKind::robot, "robot:brief"));
    const Caller token = World::bearer(w.ask(robot, kScope).access.token);
    w.meet({robot, token});
    w.clock.advance(kMoment);
    CHECK(w.pulls(robot, "team/app") == "unauthorized");
    CHECK(w.pulls(token, "team/app") == "unauthorized");
  }
  SECTION("a password, which is checked anew after a minute") {
    REQUIRE(w.pulls(w.password, "team/app").empty());  // checked by People() at this very time
    w.clock.advance(60s - kMoment);
    w.meet({w.password});
    w.clock.advance(kMoment - 1ms);
    CHECK(w.recalls(w.password));
    w.clock.advance(1ms);
    CHECK_FALSE(w.recalls(w.password));
  }
}

TEST_CASE("a token is not known for longer than the key that signed it") {
  using nlohmann::json;
  People w;
  const auto old = w.must(w.identities().list_token_keys());
  const SigningKey key = SigningKey::from_pkcs8(old.at(0).pkcs8).value();
  // One that lives for longer than berth makes them: as of a berth with other settings.
  const std::string& good = w.token.authorization[0];
  const std::size_t first = good.find('.') + 1, begin = good.find(' ') + 1;
  json claims = json::parse(decode_base64url(good.substr(first, good.rfind('.') - first)).value());
  claims["exp"] = claims["exp"].get<std::int64_t>() + 24 * 3600;
  const std::string text = good.substr(begin, first - begin) + encode_base64url(as_bytes(claims.dump()));
  const Caller forged = World::bearer(text + '.' + encode_base64url(as_bytes(key.sign(text).value())));

  w.clock.advance(1s);  // keys are told apart by their times
  const SigningKey next = SigningKey::generate(Algorithm::es256).value();
  w.must(w.identities().add_token_key(kRoot, {next.id(), "ES256", next.to_pkcs8()}));
  w.must_do(w.identities().activate_token_key(kRoot, next.id()));
  w.clock.advance(3600s - kMoment);
  w.meet({forged});
  w.clock.advance(kMoment);
  CHECK(w.pulls(forged, "team/app") == "unauthorized");
}

TEST_CASE("a token is known for the host that it is for, and a header for the way it came") {
  World w({}, kCheap, "");  // without a name of its own, berth is called by the Host header
  w.add_user("alice", "password");
  w.give("user:alice", "team/**");
  const Caller password = World::basic("alice", "password");
  Caller token = World::bearer(w.ask(password, kScope).access.token);
  for (int i = 0; i < 2; ++i) REQUIRE(w.pulls(token, "team/app").empty());
  REQUIRE(w.recalls(token));
  token.secure = false;
  CHECK_FALSE(w.recalls(token));
  token.secure = true;
  token.host = "other.example";
  CHECK_FALSE(w.recalls(token));
  CHECK(w.pulls(token, "team/app") == "unauthorized");
}

TEST_CASE("a user of a file is known until the file is looked at again") {
  const std::string file =
      std::filesystem::temp_directory_path() / ("berth-recall-" + std::to_string(::getpid()) + ".htpasswd");
  // crypt_blowfish's own vector, for "U*U".
  std::ofstream(file) << "bob:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";
  World w(file);
  w.give("user:bob", "team/**");
  Caller bob = World::basic("bob", "U*U");
  w.clock.advance(5s);
  REQUIRE(w.pulls(bob, "team/app").empty());  // the file is looked at
  const Caller token = World::bearer(w.ask(bob, kScope).access.token);
  w.clock.advance(1s - kMoment);
  bob.host = "other.example";  // known from now on, not from before
  for (int i = 0; i < 2; ++i) {
    REQUIRE(w.pulls(bob, "team/app").empty());
    REQUIRE(w.pulls(token, "team/app").empty());
  }
  REQUIRE(w.recalls(bob));
  REQUIRE(w.recalls(token));
  std::ofstream(file) << "# nobody\n";
  w.clock.advance(kMoment - 1ms);
  CHECK(w.recalls(bob));
  CHECK(w.recalls(token));
  w.clock.advance(1ms);
  CHECK(w.pulls(bob, "team/app") == "unauthorized");
  CHECK(w.pulls(token, "team/app") == "unauthorized");
  std::filesystem::remove(file);
}

TEST_CASE("a user is known until a file that is asked before is looked at again") {
  const std::string file =
      std::filesystem::temp_directory_path() / ("berth-before-" + std::to_string(::getpid()) + ".htpasswd");
  std::ofstream(file) << "# nobody\n";
  World w(file, kCheap, "", {PasswordMethod::htpasswd, PasswordMethod::users});
  w.add_user("alice", "password");
  w.give("user:alice", "team/**");
  Caller alice = World::basic("alice", "password");
  w.clock.advance(5s);
  for (int i = 0; i < 2; ++i) REQUIRE(w.pulls(alice, "team/app").empty());
  w.clock.advance(1s - kMoment);
  alice.host = "other.example";  // known from now on, not from before
  for (int i = 0; i < 2; ++i) REQUIRE(w.pulls(alice, "team/app").empty());
  REQUIRE(w.recalls(alice));
  std::ofstream(file) << "alice:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";
  w.clock.advance(kMoment);
  CHECK(w.pulls(alice, "team/app") == "unauthorized");
  std::filesystem::remove(file);
}

TEST_CASE("what was refused is refused by a look each time") {
  People w;
  w.meet({w.password});
  const Caller wrong = World::basic("alice", "wrong");
  for (int i = 0; i < 6; ++i) {  // as many as are free, and the one that closes the gate
    CHECK(w.pulls(wrong, "team/app") == "unauthorized");
    CHECK_FALSE(w.recalls(wrong));
  }
  CHECK(w.pulls(wrong, "team/app") == "too_many_requests");
  const auto no_token = World::bearer(w.token.authorization[0].substr(7) + "A");
  CHECK(w.pulls(no_token, "team/app") == "unauthorized");
  CHECK_FALSE(w.recalls(no_token));
}

TEST_CASE("who shows nothing is nobody, and who shows something else is looked at") {
  People w;
  w.meet({w.password});
  const auto nobody = w.access->recall(World::glance(Caller{}));
  REQUIRE(nobody.has_value());
  CHECK(nobody->principal->subject == kAnonymous);
  CHECK(nobody->principal->subjects == std::vector<std::string>{std::string(kAnonymous)});

  Caller local = w.password;
  local.local = true;
  CHECK_FALSE(w.recalls(local));
  Caller twice = w.password;
  twice.authorization.push_back(twice.authorization.front());
  CHECK_FALSE(w.recalls(twice));
  AccessControl::Glance two_headers = World::glance(w.password);
  two_headers.one_authorization = false;
  CHECK_FALSE(w.access->recall(two_headers));
  Caller certificate;
  certificate.certificate = std::make_shared<const ClientCertificate>();
  CHECK_FALSE(w.recalls(certificate));
  // Beside a header that says nothing the certificate counts, and that is not known by the header.
  Caller empty_pair = World::basic("", "");
  empty_pair.certificate = certificate.certificate;
  for (int i = 0; i < 2; ++i) REQUIRE(w.who(empty_pair).has_value());
  CHECK_FALSE(w.recalls(empty_pair));
}

TEST_CASE("without accounts everybody is nobody, whatever is shown") {
  IdentityWorld w;
  HttpClient http;
  auto tokens = TokenService::create({}, "", {w.identities(), w.pool, w.clock, w.entropy}).value();
  auto access = AccessControl::create({}, {w.identities(), *tokens, http, w.pool, w.pool, w.clock, w.entropy}).value();
  const auto nobody = access->recall(World::glance(World::basic("alice", "password")));
  REQUIRE(nobody.has_value());
  CHECK(nobody->principal->subject == kAnonymous);
  CHECK(nobody->policy.get() == w.must(access->policy()).get());
  CHECK_FALSE(access->recall({.local = true}));
  http.stop();
}

TEST_CASE("a digest of a credential is known by all of its bits") {
  test::SeededEntropy entropy{3};
  IdentityMemo memo(entropy);
  const IdentityMemo::Moment now{1, 1, WallTime(1s), SteadyTime(1s)};
  const auto named = [](const std::string& name) {
    auto principal = std::make_shared<Principal>();
    principal->subject = name;
    return IdentityMemo::Known{principal, AuthMethod::basic};
  };
  // Many more than there is room for: whoever is known is never somebody else.
  for (int i = 0; i < 5000; ++i) {
    const std::string name = "user:" + std::to_string(i);
    memo.keep({name, "h", true}, now, {}, named(name));
    REQUIRE(memo.find({name, "h", true}, now).has_value());
  }
  int known = 0;
  for (int i = 0; i < 10000; ++i) {
    const std::string name = "user:" + std::to_string(i);
    const auto found = memo.find({name, "h", true}, now);
    if (found) CHECK(found->principal->subject == name);
    known += found.has_value();
  }
  CHECK(known > 100);
  CHECK(known <= 512);
  const std::string longest(IdentityMemo::kHeaderSizeMax, 'x'), too_long(IdentityMemo::kHeaderSizeMax + 1, 'x');
  memo.keep({longest, "h", true}, now, {}, named("user:x"));
  memo.keep({too_long, "h", true}, now, {}, named("user:x"));
  CHECK(memo.find({longest, "h", true}, now));
  CHECK_FALSE(memo.find({too_long, "h", true}, now));
}

}  // namespace berth::auth
