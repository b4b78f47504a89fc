#include <functional>

#include "registry/identities/signal.h"
#include "tests/unit/registry/identities_harness.h"

namespace berth::registry::testing {
namespace {

using Names = std::vector<std::string>;
using namespace std::chrono_literals;

TEST_CASE("names, texts and subjects are what they may be") {
  struct Row {
    const char* name;
    std::string text;
    bool good;
  };
  const std::vector<Row> names = {
      {"a letter", "a", true},           {"a digit", "7", true},
      {"all that may be", "a.b_c@d-9", true}, {"64", std::string(64, 'a'), true},
      {"65", std::string(65, 'a'), false}, {"nothing", "", false},
      {"a dot in front", ".a", false},   {"a dash behind", "a-", false},
      {"upper case", "Alice", false},    {"a colon", "a:b", false},
      {"a slash", "a/b", false},         {"a zero byte", std::string("a\0b", 3), false},
      {"a letter of another kind", "\xc3\xa4", false},
  };
  for (const Row& row : names) {
    INFO(row.name);
    CHECK(check_name(row.text, "a name").has_value() == row.good);
  }
  const std::vector<Row> texts = {
      {"none", "", true},
      {"UTF-8", "Zo\xc3\xab", true},
      {"a line break", "a\nb", false},
      {"half a letter", "\xc3", false},
      {"a control character of two bytes", "\xc2\x85", false},
      {"an escape", "\x1b[1m", false},
      {"too long", std::string(11, 'a'), false},
  };
  for (const Row& row : texts) {
    INFO(row.name);
    CHECK(check_text(row.text, 10, "a text").has_value() == row.good);
  }
  const std::vector<Row> subjects = {
      {"user", "user:alice", true},
      {"robot", "robot:ci", true},
      {"group", "group:dev", true},
      {"federated", "federated:github:repo:a/b:ref:refs/heads/main", true},
      {"certificate", "certificate:CN=a b", true},
      {"all who came in", "authenticated", true},
      {"everybody", "anonymous", true},
      {"nobody", "", false},
      {"no kind", "alice", false},
      {"a kind that is none", "team:a", false},
      {"no name", "user:", false},
      {"a name that is none", "user:a b", false},
      {"no issuer", "federated::x", false},
      {"no sub", "federated:x:", false},
      {"neither", "federated:x", false},
      {"more after a word", "anonymous:x", false},
      {"too long", "certificate:" + std::string(512, 'a'), false},
  };
  for (const Row& row : subjects) {
    INFO(row.name);
    CHECK(parse_subject(row.text).has_value() == row.good);
  }
}

TEST_CASE("a user is made, changed by version and deleted, and its name is another one's then") {
  IdentityIndex index;
  index.group("dev");
  const User alice = index.user("alice", {"dev"});
  CHECK(alice.actor > kAnonymousActor);
  CHECK(alice.groups == Names{"dev"});
  CHECK(index.run(CreateUser{.context = {}, .user = {.name = "alice"}}).failed_with(kIdentityConflict));

  const auto update = [&](UserChange change, IfVersion version) {
    return index.run(
        UpdateUser{.context = {}, .name = "alice", .change = std::move(change), .if_version = version});
  };
  index.advance(1s);
  const User changed = update({.enabled = false, .display_name = "Alice A."}, alice.version).value();
  CHECK(changed.version > alice.version);
  CHECK(!changed.enabled);
  CHECK(changed.email == alice.email);
  CHECK(changed.password_changed_at == alice.password_changed_at);
  CHECK(update({.enabled = true}, alice.version).failed_with(kIdentityConflict));
  CHECK(find_user(index.reader(), "alice").value() == changed);
  CHECK(update({.groups = Names{}}, {}).value().groups == Names{});
  CHECK(find_login(index.reader(), "alice").value()->password_hash == "$p$alice");
  CHECK(update({.password_hash = ""}, {}).value().password_changed_at == WallTime{});
  CHECK(find_login(index.reader(), "alice").value()->password_hash == "");

  CHECK(index.run(DeleteUser{.context = {}, .name = "alice", .if_version = 1}).failed_with(kIdentityConflict));
  REQUIRE(index.run(DeleteUser{.context = {}, .name = "alice"}).has_value());
  CHECK(index.run(DeleteUser{.context = {}, .name = "alice"}).failed_with(kIdentityUnknown));
  CHECK(update({}, {}).failed_with(kIdentityUnknown));
  CHECK(find_actor(index.reader(), alice.actor).value()->subject == "user:alice");
  const User other = index.user("alice");
  CHECK(other.actor != alice.actor);
  CHECK(update({}, changed.version).failed_with(kIdentityConflict));
  index.check();
}

TEST_CASE("an erased person leaves its number without its name") {
  IdentityIndex index;
  const User alice = index.user("alice");
  REQUIRE(index.run(DeleteUser{.context = {}, .name = "alice", .erasure = Erasure::erase_name}).has_value());
  CHECK(find_actor(index.reader(), alice.actor).value()->subject.empty());

  // Of those from outside only the number is known here.
  const ActorId sub = index.run(NameActor{.context = {}, .subject = "federated:ci:x"}).value().actor;
  CHECK(index.run(NameActor{.context = {}, .subject = "federated:ci:x"}).value().actor == sub);
  CHECK(index.run(NameActor{.context = {}, .subject = "group:dev"}).failed_with(ErrorCode::request_invalid));
  REQUIRE(index.run(EraseActor{.context = {}, .actor = sub}).has_value());
  CHECK(find_actor(index.reader(), sub).value()->subject.empty());
  CHECK(index.run(NameActor{.context = {}, .subject = "federated:ci:x"}).value().actor != sub);
  const User bob = index.user("bob");
  CHECK(index.run(EraseActor{.context = {}, .actor = bob.actor}).failed_with(kIdentityConflict));
  CHECK(index.run(EraseActor{.context = {}, .actor = 999}).failed_with(kIdentityUnknown));
  index.check();
}

TEST_CASE("what is refused says why and leaves nothing behind") {
  IdentityIndex index;
  index.user("alice");
  index.robot("ci", 1);
  const WallTime past = index.context.now - 1s;
  const auto bad_grant = [](std::function<void(GrantContent&)> spoil) {
    GrantContent content = grant({"user:alice"}, "reader");
    spoil(content);
    return CreateGrant{.context = {}, .grant = content};
  };
  const auto token = [](NewCredential credential, std::string owner = "user:alice") {
    return AddCredential{.context = {},
                         .kind = CredentialKind::personal_token,
                         .owner = std::move(owner),
                         .credential = std::move(credential)};
  };
  const Names many(201, "dev");
  Names subjects;
  for (int i = 0; i < 101; ++i) subjects.push_back("user:u" + std::to_string(i));
  const auto before = dump(index.reader());
  struct Row {
    const char* name;
    std::string answer;
  };
  const std::vector<Row> rows = {
      {"a name that is none", code(index.run(CreateUser{.context = {}, .user = {.name = "Alice"}}))},
      {"a hash that is none", code(index.run(CreateUser{.context = {}, .user = {.name = "b", .password_hash = "x"}}))},
      {"a hash with a space",
       code(index.run(CreateUser{.context = {}, .user = {.name = "b", .password_hash = "$a b"}}))},
      {"a name for people too long",
       code(index.run(CreateUser{.context = {}, .user = {.name = "b", .display_name = std::string(257, 'x')}}))},
      {"a group that is not there",
       code(index.run(CreateUser{.context = {}, .user = {.name = "b", .groups = {"dev"}}}))},
      {"too many groups", code(index.run(CreateUser{.context = {}, .user = {.name = "b", .groups = many}}))},
      {"a group in a group",
       code(index.run(CreateGroup{.context = {}, .group = {.name = "g", .members = {"group:h"}}}))},
      {"too many members",
       code(index.run(CreateGroup{.context = {}, .group = {.name = "g", .members = Names(1001, "user:a")}}))},
      {"a robot that expired",
       code(index.run(CreateRobot{.context = {}, .robot = {.name = "r", .expires_at = past}}))},
      {"a ceiling without a line",
       code(index.run(
           CreateRobot{.context = {}, .robot = {.name = "r", .ceiling = std::vector<CeilingEntry>{}}}))},
      {"a ceiling without an action",
       code(index.run(CreateRobot{
           .context = {}, .robot = {.name = "r", .ceiling = std::vector<CeilingEntry>{{.repositories = {"**"}}}}}))},
      {"a token without a name", code(index.run(token({.hash = secret_hash(9)})))},
      {"a token that expired",
       code(index.run(token({.hash = secret_hash(9), .name = "n", .expires_at = past})))},
      {"a token of a robot", code(index.run(token({.hash = secret_hash(9), .name = "n"}, "robot:ci")))},
      {"a token of all", code(index.run(token({.hash = secret_hash(9), .name = "n"}, "authenticated")))},
      {"a secret of a user", code(index.credential(CredentialKind::robot_secret, "user:alice", 9))},
      {"no subject", code(index.run(bad_grant([](GrantContent& g) { g.subjects.clear(); })))},
      {"a subject twice",
       code(index.run(bad_grant([](GrantContent& g) { g.subjects = {"anonymous", "anonymous"}; })))},
      {"too many subjects", code(index.run(bad_grant([&](GrantContent& g) { g.subjects = subjects; })))},
      {"no pattern", code(index.run(bad_grant([](GrantContent& g) { g.repositories.clear(); })))},
      {"a pattern that is none", code(index.run(bad_grant([](GrantContent& g) { g.repositories = {"/"}; })))},
      {"too many patterns", code(index.run(bad_grant([](GrantContent& g) { g.repositories = Names(101, "a"); })))},
      {"a pattern twice", code(index.run(bad_grant([](GrantContent& g) { g.repositories = {"a", "a"}; })))},
      {"a tag pattern that is none", code(index.run(bad_grant([](GrantContent& g) { g.tags = {"a/b"}; })))},
      {"actions and a role", code(index.run(bad_grant([](GrantContent& g) { g.actions = action::pull; })))},
      {"neither", code(index.run(bad_grant([](GrantContent& g) { g.role.clear(); })))},
      {"an action that is none", code(index.run(bad_grant([](GrantContent& g) {
         g.role.clear();
         g.actions = 64;
       })))},
      {"a role that is not there", code(index.run(bad_grant([](GrantContent& g) { g.role = "pusher"; })))},
      {"a role without an action", code(index.run(CreateRole{.context = {}, .role = {.name = "pusher"}}))},
      {"a change of a built-in role",
       code(index.run(UpdateRole{.context = {}, .name = "reader", .change = {.actions = action::all}}))},
      {"a built-in role deleted", code(index.run(DeleteRole{.context = {}, .name = "admin"}))},
      {"a key without bytes",
       code(index.run(AddSigningKey{.context = {}, .key = {.id = "k", .algorithm = "ES256", .pkcs8 = ""}}))},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    CHECK(row.answer == "request_invalid");
  }
  const std::vector<Row> others = {
      {"a token of nobody", code(index.run(token({.hash = secret_hash(9), .name = "n"}, "user:nobody")))},
      {"a secret of no robot", code(index.credential(CredentialKind::robot_secret, "robot:none", 9))},
  };
  for (const Row& row : others) {
    INFO(row.name);
    CHECK(row.answer == std::string(to_string(kIdentityUnknown)));
  }
  const std::vector<Row> taken = {
      {"a built-in role's name",
       code(index.run(CreateRole{.context = {}, .role = {.name = "reader", .actions = 1}}))},
      {"a configured role's name",
       code(index.run(CreateRole{
           .context = {}, .role = {.name = "own", .actions = 1}, .configured_roles = {"own"}}))},
      {"a secret in use", code(index.run(token({.hash = secret_hash(1), .name = "n"})))},
  };
  for (const Row& row : taken) {
    INFO(row.name);
    CHECK(row.answer == std::string(to_string(kIdentityConflict)));
  }
  CHECK(dump(index.reader()) == before);
}

TEST_CASE("a grant may name a role that the configuration defines") {
  IdentityIndex index;
  CreateGrant command{.context = {}, .grant = grant({"anonymous"}, "own"), .configured_roles = {"own"}};
  CHECK(code(index.run(command)) == "ok");
}

TEST_CASE("a role in use stays, and its grants are named") {
  IdentityIndex index;
  REQUIRE(index.run(CreateRole{.context = {}, .role = {.name = "pusher", .actions = 3}}).has_value());
  const IdentityNumber first = index.give({"anonymous"}, "pusher").id;
  const IdentityNumber second = index.give({"authenticated"}, "pusher").id;
  const auto refused = index.run(DeleteRole{.context = {}, .name = "pusher"});
  REQUIRE(refused.failed_with(kIdentityConflict));
  CHECK(refused.error().message.find(std::to_string(first) + ", " + std::to_string(second)) != std::string::npos);
  REQUIRE(index.run(DeleteGrant{.context = {}, .id = first}).has_value());
  REQUIRE(index.run(UpdateGrant{.context = {}, .id = second, .grant = grant({"user:a"}, "reader")}).has_value());
  CHECK(code(index.run(DeleteRole{.context = {}, .name = "pusher"})) == "ok");
  CHECK(list_grants_of(index.reader(), "authenticated").value().empty());
  CHECK(list_grants_of(index.reader(), "user:a").value().size() == 1);
  index.check();
}

TEST_CASE("whoever goes takes tokens, memberships and mentions in grants along") {
  IdentityIndex index;
  index.user("alice");
  index.robot("ci", 1);
  index.group("dev", {"user:alice", "robot:ci", "federated:x:y"});
  const IdentityNumber own = index.give({"user:alice"}, "reader").id;
  const IdentityNumber shared = index.give({"robot:ci", "user:alice", "group:dev"}, "writer").id;
  REQUIRE(index.credential(CredentialKind::personal_token, "user:alice", 2).has_value());
  REQUIRE(index.credential(CredentialKind::refresh_token, "user:alice", 3).has_value());
  REQUIRE(index.credential(CredentialKind::refresh_token, "robot:ci", 4).has_value());
  CHECK(find_login(index.reader(), "alice").value()->user.groups == Names{"dev"});
  index.check();

  REQUIRE(index.run(DeleteUser{.context = {}, .name = "alice"}).has_value());
  CHECK(!find_grant(index.reader(), own).value());
  CHECK(find_grant(index.reader(), shared).value()->content.subjects == Names{"robot:ci", "group:dev"});
  CHECK(!index.opens(2));
  CHECK(!index.opens(3));
  CHECK(find_group(index.reader(), "dev").value()->members == Names{"federated:x:y", "robot:ci"});
  CHECK(index.opens(1));
  index.check();

  REQUIRE(index.run(DeleteRobot{.context = {}, .name = "ci"}).has_value());
  CHECK(!index.opens(1));
  CHECK(!index.opens(4));
  CHECK(groups_listing(index.reader(), "federated:x:y").value() == Names{"dev"});
  REQUIRE(index.run(DeleteGroup{.context = {}, .name = "dev"}).has_value());
  CHECK(groups_listing(index.reader(), "federated:x:y").value().empty());
  CHECK(!find_grant(index.reader(), shared).value());
  CHECK(totals(index.reader()).value() == TotalsRecord{});
  index.check();
}

TEST_CASE("a deleted group has no members at once, and none when it is made anew") {
  IdentityIndex index;
  index.group("dev");
  index.group("ops");
  for (int i = 0; i < 5; ++i) index.user("u" + std::to_string(i), {"dev", "ops"});
  CHECK(list_group_users(index.reader(), "dev", 2, "").value()->items == Names{"u0", "u1"});
  CHECK(list_group_users(index.reader(), "dev", 2, "u3").value()->items == Names{"u4"});
  CHECK(!list_group_users(index.reader(), "none", 2, "").value());
  REQUIRE(index.run(DeleteGroup{.context = {}, .name = "dev"}).has_value());
  index.check();
  index.group("dev");
  CHECK(find_user(index.reader(), "u0").value()->groups == Names{"ops"});
  CHECK(list_group_users(index.reader(), "dev", 2, "").value()->items.empty());
  REQUIRE(index.run(DeleteUser{.context = {}, .name = "u1"}).has_value());
  CHECK(index.sweep(2) == 2);
  CHECK(find_user(index.reader(), "u4").value()->groups == Names{"ops"});
  index.check();
}

TEST_CASE("two secrets of a robot overlap, a third has to wait for one to go or to expire") {
  IdentityIndex index;
  index.robot("ci", 1);
  const WallTime later = index.context.now + 1h;
  REQUIRE(code(index.credential(CredentialKind::robot_secret, "robot:ci", 2, later)) == "ok");
  CHECK(index.credential(CredentialKind::robot_secret, "robot:ci", 3).failed_with(ErrorCode::request_invalid));
  CHECK(find_robot(index.reader(), "ci").value()->secrets.size() == 2);
  index.advance(1h);
  REQUIRE(code(index.credential(CredentialKind::robot_secret, "robot:ci", 3)) == "ok");
  CHECK(index.opens(1));
  CHECK(!index.opens(2));
  CHECK(index.opens(3));
  index.check();
}

TEST_CASE("the oldest refresh token gives way, and a new password takes them all") {
  IdentityIndex index;
  index.user("alice");
  for (std::uint64_t i = 0; i <= identity_limits::refresh_tokens_per_owner; ++i) {
    REQUIRE(code(index.credential(CredentialKind::refresh_token, "user:alice", i)) == "ok");
  }
  CHECK(!index.opens(0));
  CHECK(index.opens(1));
  const auto page = list_credentials(index.reader(), "user:alice", CredentialKind::refresh_token, 3, 0).value();
  CHECK(page.more);
  REQUIRE(page.items.size() == 3);
  const IdentityNumber id = page.items[0].id;
  const RevokeCredentials one{
      .context = {}, .kind = CredentialKind::refresh_token, .owner = "user:alice", .id = id};
  CHECK(index.run(one).value().revoked == 1);
  CHECK(index.run(one).failed_with(kIdentityUnknown));
  CHECK(!index.opens(1));
  index.check();
  REQUIRE(index.run(UpdateUser{.context = {}, .name = "alice", .change = {.password_hash = "$n"}}).has_value());
  CHECK(!index.opens(50));
  const RevokeCredentials all{.context = {}, .kind = CredentialKind::refresh_token, .owner = "user:alice"};
  CHECK(index.run(all).value().revoked == 0);
  index.check();
}

TEST_CASE("a token is found by its hash with all that it says") {
  IdentityIndex index;
  const Ceiling ceiling = std::vector<CeilingEntry>{{.repositories = {"team/**"}, .actions = action::pull}};
  NewCredential token{.hash = secret_hash(7),
                      .name = "laptop",
                      .ceiling = ceiling,
                      .expires_at = index.context.now + 1h};
  AddCredential command{.context = {},
                        .kind = CredentialKind::personal_token,
                        .owner = "user:ldap-person",
                        .origin = OwnerOrigin::outside,
                        .credential = token};
  const Credential made = index.run(command).value();
  const Credential found = find_credential(index.reader(), secret_hash(7)).value().value();
  CHECK(found == made);
  CHECK(found.ceiling == ceiling);
  CHECK(found.owner == "user:ldap-person");
  CHECK(!find_credential(index.reader(), secret_hash(8)).value());
}

TEST_CASE("what expired is swept after it stayed listed, whatever the wall clock does") {
  IdentityIndex index;
  index.user("alice");
  const WallTime start = index.context.now;
  REQUIRE(index.credential(CredentialKind::personal_token, "user:alice", 1, start + 1h).has_value());
  REQUIRE(index.credential(CredentialKind::personal_token, "user:alice", 2).has_value());
  // The wall clock jumps a year ahead, and back: nothing was due on the up-time clock.
  index.context.now += 24h * 365;
  CHECK(index.sweep() == 0);
  index.context.now = start;
  CHECK(index.opens(1));
  // It stands still while the process runs on: nothing has expired.
  index.context.uptime += 100h;
  CHECK(index.sweep() == 1);
  CHECK(index.opens(1));
  index.check();
  index.context.now += 1h;
  index.context.uptime += 1h;
  CHECK(index.sweep() == 0);
  CHECK(index.opens(1));
  index.advance(index.keep);
  CHECK(index.sweep() == 1);
  CHECK(!index.opens(1));
  CHECK(index.opens(2));
  index.check();
}

TEST_CASE("signing keys go from next to active to retired, one active at a time") {
  IdentityIndex index;
  const auto add = [&](const std::string& id) {
    return index.run(AddSigningKey{.context = {}, .key = {.id = id, .algorithm = "ES256", .pkcs8 = "secret " + id}});
  };
  const auto activate = [&](const std::string& id) {
    return code(index.run(ActivateSigningKey{.context = {}, .id = id}));
  };
  const std::string conflict(to_string(kIdentityConflict));
  CHECK(add("a").value().state == SigningKeyState::active);
  CHECK(add("b").value().state == SigningKeyState::next);
  CHECK(add("b").failed_with(kIdentityConflict));
  CHECK(activate("a") == conflict);
  CHECK(activate("b") == "ok");
  CHECK(activate("c") == std::string(to_string(kIdentityUnknown)));
  const auto keys = list_token_keys(index.reader()).value();
  REQUIRE(keys.size() == 2);
  CHECK(keys[0].state == SigningKeyState::retired);
  CHECK(keys[0].retired_at == index.context.now);
  CHECK(keys[1].state == SigningKeyState::active);
  CHECK(keys[1].pkcs8 == "secret b");
  CHECK(code(index.run(RemoveSigningKey{.context = {}, .id = "b"})) == conflict);
  CHECK(code(index.run(RemoveSigningKey{.context = {}, .id = "a"})) == "ok");
  for (std::size_t i = 1; i < identity_limits::signing_keys; ++i) CHECK(add("n" + std::to_string(i)).has_value());
  CHECK(add("one-more").failed_with(ErrorCode::request_invalid));
  index.check();
}

TEST_CASE("a set-up secret makes one administrator, once") {
  IdentityIndex index;
  const UseSetupSecret command{.context = {}, .hash = secret_hash(1), .user = {.name = "root", .password_hash = "$x"}};
  index.user("taken");
  UseSetupSecret clash = command;
  clash.user.name = "taken";
  CHECK(index.run(clash).failed_with(kIdentityConflict));
  CHECK(code(index.run(command)) == "ok");
  const auto grants = list_grants_of(index.reader(), "user:root").value();
  REQUIRE(grants.size() == 1);
  CHECK(grants[0].content.role == "admin");
  CHECK(grants[0].content.repositories == Names{"**"});
  UseSetupSecret again = command;
  again.user.name = "other";
  CHECK(index.run(again).failed_with(ErrorCode::denied));
  again.hash = secret_hash(2);
  CHECK(code(index.run(again)) == "ok");
  index.check();
}

TEST_CASE("when somebody came in last moves forward and changes no version") {
  IdentityIndex index;
  const User alice = index.user("alice");
  const Robot robot = index.robot("ci", 1);
  const IdentityNumber secret = robot.secrets.at(0).id;
  const auto fold = [&](WallTime when) {
    FoldUses command{.context = {}, .entries = {}};
    command.entries.push_back({.subject = "user:alice", .when = when});
    command.entries.push_back({.subject = "user:nobody", .when = when});
    command.entries.push_back({.kind = IdentityUse::Kind::credential,
                               .subject = "robot:ci",
                               .credential_kind = CredentialKind::robot_secret,
                               .credential = secret,
                               .when = when});
    REQUIRE(index.run(command).has_value());
  };
  const WallTime now = index.context.now;
  fold(now);
  fold(now - 1h);
  CHECK(index.touched.empty());
  const User after = find_user(index.reader(), "alice").value().value();
  CHECK(after.last_login_at == now);
  CHECK(after.version == alice.version);
  const Robot robot_after = find_robot(index.reader(), "ci").value().value();
  CHECK(robot_after.last_used_at == now);
  CHECK(robot_after.version == robot.version);
  CHECK(robot_after.secrets.at(0).last_used_at == now);
  index.check();
}

TEST_CASE("pages follow their cursor and hold the built-in roles") {
  IdentityIndex index;
  for (const std::string name : {"b", "a", "c"}) {
    index.user(name);
    index.group(name);
    REQUIRE(index.run(CreateRobot{.context = {}, .robot = {.name = name}}).has_value());
  }
  REQUIRE(index.run(CreateRole{.context = {}, .role = {.name = "pusher", .actions = 3}}).has_value());
  const auto names = [](const auto& page) {
    Names all;
    for (const auto& item : page.items) all.push_back(item.name);
    if (page.more) all.push_back("more");
    return all;
  };
  CHECK(names(list_users(index.reader(), 2, "").value()) == Names{"a", "b", "more"});
  CHECK(names(list_users(index.reader(), 2, "b").value()) == Names{"c"});
  CHECK(names(list_groups(index.reader(), 1, "a").value()) == Names{"b", "more"});
  CHECK(names(list_robots(index.reader(), 9, "").value()) == Names{"a", "b", "c"});
  CHECK(names(list_robots(index.reader(), 0, "").value()) == Names{"more"});
  CHECK(names(list_roles(index.reader(), 3, "").value()) == Names{"admin", "maintainer", "pusher", "more"});
  CHECK(names(list_roles(index.reader(), 3, "pusher").value()) == Names{"reader", "writer"});
  CHECK(find_role(index.reader(), "writer").value()->actions == 7);
}

TEST_CASE("no command lets a subject be named by more grants than one change can take away") {
  IdentityIndex index;
  index.user("alice");
  for (std::size_t i = 0; i < identity_limits::grants_per_subject; ++i) index.give({"user:alice"}, "reader");
  const CreateGrant one_more{.context = {}, .grant = grant({"user:alice"}, "reader")};
  CHECK(index.run(one_more).failed_with(ErrorCode::request_invalid));
  REQUIRE(index.run(DeleteUser{.context = {}, .name = "alice"}).has_value());
  CHECK(totals(index.reader()).value().grants == 0);
  index.check();
}

TEST_CASE("the change log never holds a secret nor a hash of one, and says who changed what") {
  IdentityIndex index;
  index.user("alice");
  index.robot("ci", 1);
  REQUIRE(index.credential(CredentialKind::personal_token, "user:alice", 2, index.context.now + 1h).has_value());
  REQUIRE(index.run(UpdateUser{.context = {}, .name = "alice", .change = {.password_hash = "$p$other"}}).has_value());
  REQUIRE(index.run(AddSigningKey{.context = {}, .key = {.id = "k", .algorithm = "a", .pkcs8 = "the key itself"}})
              .has_value());
  REQUIRE(index.run(UseSetupSecret{.context = {}, .hash = secret_hash(3), .user = {.name = "root"}}).has_value());
  REQUIRE(index.run(DeleteUser{.context = {}, .name = "alice"}).has_value());
  Names secrets = {"$p$alice", "$p$other", "the key itself"};
  for (std::uint64_t i = 1; i <= 3; ++i) {
    const SecretHash hash = secret_hash(i);
    secrets.emplace_back(reinterpret_cast<const char*>(hash.data()), hash.size());
  }
  std::size_t entries = 0;
  auto cursor = index.reader().scan(family::log, {}).value();
  for (; cursor->valid(); cursor->next(), ++entries) {
    for (const std::string& secret : secrets) CHECK(cursor->value().find(secret) == std::string_view::npos);
    CHECK(decode<ChangeRecord>(cursor->value()).value().actor == index.context.actor);
  }
  CHECK(entries == 7);
}

TEST_CASE("changes are announced: any of them, and those that a policy is made of") {
  IdentityIndex index;
  const auto touched = [&](std::string_view what) {
    return std::ranges::find(index.touched, what) != index.touched.end();
  };
  index.user("alice");
  CHECK(touched(kIdentitiesTouched));
  CHECK(!touched(kPolicyTouched));
  index.group("dev");
  CHECK(touched(kPolicyTouched));
  index.give({"user:alice"}, "reader");
  CHECK(touched(kPolicyTouched));
  REQUIRE(index.run(DeleteUser{.context = {}, .name = "alice"}).has_value());
  CHECK(touched(kPolicyTouched));
}

}  // namespace
}  // namespace berth::registry::testing
