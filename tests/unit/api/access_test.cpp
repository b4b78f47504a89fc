// Who is taken for whom, and for how long: the pipeline with real identities, tokens and passwords.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/test_directory.h"
#include "tests/unit/api/access_world.h"

namespace berth::api::test {
namespace {

constexpr const char* kPull = "/v2/team/app/manifests/v1";

std::shared_ptr<const ClientCertificate> certificate(std::string subject, std::vector<std::string> dns = {}) {
  return std::make_shared<const ClientCertificate>(ClientCertificate{std::move(subject), std::move(dns), {}, {}});
}

/// Alice of the group dev, which may do all below team/, and a robot that may push there.
struct World {
  AccessWorld w;
  explicit World(auth::AuthOptions options = {}) : w(AccessWorld::quick(std::move(options))) {
    w.must(w.identities().create_group(AccessWorld::kRoot, {.name = "dev"}));
    w.add_user("alice", "secret", {"dev"});
    w.grant("group:dev", "team/**", "maintainer");
    w.grant("robot:ci", "team/**", "writer");
    REQUIRE(w.registry.push_image("team/app", "v1", {"config", "layer"}).has_value());
  }
  unsigned pull(const Shown& shown) { return w.send(shown, Method::get, kPull).status; }
  const registry::Actor& root() { return AccessWorld::kRoot; }
};

std::string challenge(const Response& response) { return std::string(response.headers.get("WWW-Authenticate")); }

}  // namespace

TEST_CASE("every credential says who it is") {
  auth::AuthOptions options;
  options.certificates = {{.subject = "CN=*,O=Example", .identity = "user:{cn}", .groups = {}},
                          {.subject = "", .san = "dns:*.build.example", .identity = "certificate:{cn}", .groups = {"dev"}}};
  World world(options);
  const std::string robot = world.w.add_robot("ci");
  const std::string personal = world.w.add_token("alice");
  const Shown alice = basic("alice", "secret");
  struct Row {
    const char* name;
    Shown shown;
    unsigned status;
    const char* principal;  ///< as the access log has it
  };
  const Row rows[] = {
      {"nothing", {}, 401, "anonymous"},
      {"the empty pair, which clients send that have none", basic("", ""), 401, "anonymous"},
      {"a password", alice, 200, "user:alice"},
      {"a name in capitals", basic("ALICE", "secret"), 200, "user:alice"},
      {"an access token", bearer(world.w.access_token(alice, "repository:team/app:pull")), 200, "user:alice"},
      {"an anonymous token", bearer(world.w.access_token({}, "repository:team/app:pull")), 401, "anonymous"},
      {"a personal token as a password", basic("<token>", personal), 200, "user:alice"},
      {"a personal token as a Bearer token", bearer(personal), 200, "user:alice"},
      {"a robot's secret under any name", basic("whoever", robot), 200, "robot:ci"},
      {"a robot's secret as a Bearer token", bearer(robot), 200, "robot:ci"},
      {"a certificate", {.certificate = certificate("CN=alice,O=Example")}, 200, "user:alice"},
      {"a certificate by its name", {.certificate = certificate("CN=b7", {"b7.build.example"})}, 200, "certificate:b7"},
      {"a certificate of a user who is not there", {.certificate = certificate("CN=bob,O=Example")}, 401, ""},
      {"a certificate that no rule knows", {.certificate = certificate("CN=alice,O=Elsewhere")}, 401, "anonymous"},
      {"a certificate with a comma in its name", {.certificate = certificate("CN=alice\\,O=Example")}, 401, "anonymous"},
      {"a password beside a certificate", {alice.authorization, false, certificate("CN=b7", {"b7.build.example"})}, 200, "user:alice"},
      {"the local socket", {.local = true}, 200, "local:root"},
      {"the local socket before all else", {basic("alice", "wrong").authorization, true}, 200, "local:root"},
      {"a wrong password", basic("alice", "wrong"), 401, ""},
      {"a wrong password beside a good certificate", {basic("alice", "wrong").authorization, false, certificate("CN=alice,O=Example")}, 401, ""},
      {"an unknown user", basic("bob", "secret"), 401, ""},
      {"a name that nobody can have", basic("<bob>", "secret"), 401, ""},
      {"an empty password", basic("alice", ""), 401, ""},
      {"a secret that nobody has", bearer(auth::make_secret(auth::SecretKind::robot, world.w.registry.entropy()).text), 401, ""},
      {"a secret with a typing error", bearer(robot.substr(0, robot.size() - 1) + "!"), 401, ""},
      {"a refresh token", bearer(auth::make_secret(auth::SecretKind::refresh, world.w.registry.entropy()).text), 401, ""},
      {"a token that is none", bearer("eyJhbGciOiJub25lIn0.e30."), 401, ""},
      {"two tokens", bearer("a, b"), 401, ""},
      {"no base64", {"Basic alice:secret"}, 401, ""},
      {"another scheme", {"Negotiate abc"}, 401, ""},
      {"a scheme alone", {"Bearer"}, 401, ""},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    // Again: the same to whoever is known from a moment ago.
    for (int times = row.status == 200 ? 3 : 1; times > 0; --times) {
      CHECK(world.pull(row.shown) == row.status);
      CHECK(world.w.principal == row.principal);
    }
  }
}

TEST_CASE("two credentials are none, however well each is known") {
  World world;
  const Shown alice = basic("alice", "secret");
  for (int times = 0; times < 3; ++times) REQUIRE(world.pull(alice) == 200);
  const Response twice = world.w.send(alice, Method::get, kPull, {.body = {}, .headers = {{"Authorization", alice.authorization}}});
  CHECK(twice.status == 401);
  CHECK(world.pull(alice) == 200);
}

TEST_CASE("whoever is put out is out at the next request, with whatever it shows") {
  struct Shows {
    const char* name;
    std::function<Shown(World&)> make;
  };
  const Shown alice = basic("alice", "secret");
  const std::vector<Shows> shows = {
      {"password", [&](World&) { return alice; }},
      {"personal token", [](World& world) { return bearer(world.w.add_token("alice")); }},
      {"access token", [&](World& world) { return bearer(world.w.access_token(alice, "repository:team/app:pull")); }},
      {"access token had with a personal one",
       [](World& world) {
         return bearer(world.w.access_token(bearer(world.w.add_token("alice")), "repository:team/app:pull"));
       }},
  };
  struct Event {
    const char* name;
    std::function<void(World&)> happens;
    const char* still;  ///< names of what still works
  };
  const auto& root = AccessWorld::kRoot;
  const std::vector<Event> events = {
      {"nothing", [](World&) {}, "password, personal token, access token, access token had with a personal one"},
      {"the user is disabled", [&](World& w) { w.w.must(w.w.identities().update_user(root, "alice", {.enabled = false})); }, ""},
      {"the user is deleted", [&](World& w) { w.w.must_do(w.w.identities().delete_user(root, "alice", registry::Erasure::keep_name)); }, ""},
      {"the user is deleted, and another one gets the name",
       [&](World& w) {
         w.w.must_do(w.w.identities().delete_user(root, "alice", registry::Erasure::keep_name));
         w.w.registry.clock().advance(std::chrono::seconds(2));
         w.w.add_user("alice", "other", {"dev"});
       },
       ""},
      {"the user leaves the group", [&](World& w) { w.w.must(w.w.identities().update_user(root, "alice", {.groups = std::vector<std::string>{}})); }, ""},
      {"the group is deleted", [&](World& w) { w.w.must_do(w.w.identities().delete_group(root, "dev")); }, ""},
      {"the grant is deleted",
       [&](World& w) {
         for (const auto& grant : w.w.must(w.w.identities().list_grants_of("group:dev"))) w.w.must_do(w.w.identities().delete_grant(root, grant.id));
       },
       ""},
      {"the personal tokens are revoked",
       [&](World& w) { w.w.must(w.w.identities().revoke_all(root, registry::CredentialKind::personal_token, "user:alice")); },
       "password, access token"},
      {"the password changes",
       [&](World& w) {
         w.w.must(w.w.identities().update_user(root, "alice", {.password_hash = auth::hash_password("new", w.w.registry.entropy(), {1, 64, 1}).value()}));
       },
       "personal token, access token, access token had with a personal one"},
  };
  for (const Event& event : events) {
    for (const Shows& kind : shows) {
      INFO(kind.name << ", and then: " << event.name);
      World world;
      const Shown shown = kind.make(world);
      REQUIRE(world.pull(shown) == 200);
      event.happens(world);
      const std::string still = std::string(", ") + event.still + ',';
      const bool good = still.find(std::string(", ") + kind.name + ',') != std::string::npos;
      CHECK((world.pull(shown) == 200) == good);
    }
  }
}

TEST_CASE("robots end as well") {
  const auto& root = AccessWorld::kRoot;
  struct Event {
    const char* name;
    std::function<void(World&)> happens;
    unsigned status;
  };
  const std::vector<Event> events = {
      {"nothing", [](World&) {}, 200},
      {"disabled", [&](World& w) { w.w.must(w.w.identities().update_robot(root, "ci", {.enabled = false})); }, 401},
      {"deleted", [&](World& w) { w.w.must_do(w.w.identities().delete_robot(root, "ci")); }, 401},
      {"secret revoked", [&](World& w) { w.w.must(w.w.identities().revoke_all(root, registry::CredentialKind::robot_secret, "robot:ci")); }, 401},
      {"expired",
       [&](World& w) {
         const auto soon = w.w.registry.clock().wall() + std::chrono::seconds(1);
         w.w.must(w.w.identities().update_robot(root, "ci", {.expires_at = soon}));
         w.w.registry.clock().advance(std::chrono::seconds(2));
       },
       401},
      {"narrowed",
       [&](World& w) {
         const registry::Ceiling other = std::vector{registry::CeilingEntry{{"elsewhere/**"}, registry::action::all}};
         w.w.must(w.w.identities().update_robot(root, "ci", {.ceiling = other}));
       },
       0},  // 403 by itself, 401 by a token
  };
  for (const Event& event : events) {
    INFO(event.name);
    World world;
    const Shown secret = bearer(world.w.add_robot("ci"));
    const Shown token = bearer(world.w.access_token(secret, "repository:team/app:pull,push"));
    REQUIRE(world.pull(secret) == 200);
    REQUIRE(world.pull(token) == 200);
    event.happens(world);
    CHECK(world.pull(secret) == (event.status == 0 ? 403 : event.status));
    CHECK(world.pull(token) == (event.status == 0 ? 401 : event.status));
  }
}

TEST_CASE("what a challenge asks for") {
  World world;
  const Shown alice = basic("alice", "secret");
  const Shown narrow = bearer(world.w.access_token(alice, "repository:team/app:pull"));
  const Shown both = bearer(world.w.access_token(alice, "repository:team/app:pull,push repository:secret/app:pull"));
  const std::string digest = oci::sha256("layer").to_string();
  const std::string start = R"(Bearer realm="https://registry.example/token",service="registry.example")";
  struct Row {
    const char* name;
    Shown shown;
    Method method;
    std::string target;
    unsigned status;
    std::string rest;  ///< of the challenge; "-": there is none
  };
  const std::string mount = "/v2/team/app/blobs/uploads/?mount=" + digest + "&from=";
  const Row rows[] = {
      {"ping", {}, Method::get, "/v2/", 401, ""},
      {"ping with a token that gives nothing", bearer(world.w.access_token({}, "")), Method::get, "/v2/", 200, "-"},
      {"ping with a bad token", bearer("bad"), Method::get, "/v2/", 401, R"(,error="invalid_token")"},
      {"ping with a bad password", basic("alice", "bad"), Method::get, "/v2/", 401, ""},
      {"pull", {}, Method::get, "/v2/team/app/manifests/v1", 401, R"(,scope="repository:team/app:pull")"},
      {"push", {}, Method::put, "/v2/team/app/manifests/v1", 401, R"(,scope="repository:team/app:pull,push")"},
      {"delete", {}, Method::delete_, "/v2/team/app/manifests/v1", 401, R"(,scope="repository:team/app:delete")"},
      {"cancel", {}, Method::delete_, "/v2/team/app/blobs/uploads/u", 401, R"(,scope="repository:team/app:pull,push")"},
      {"catalog", {}, Method::get, "/v2/_catalog", 401, R"(,scope="registry:catalog:*")"},
      {"a token too narrow", narrow, Method::delete_, "/v2/team/app/manifests/v1", 401, R"(,scope="repository:team/app:delete",error="insufficient_scope")"},
      {"a bad token", bearer("bad"), Method::get, "/v2/team/app/manifests/v1", 401, R"(,scope="repository:team/app:pull",error="invalid_token")"},
      {"a mount", {}, Method::post, mount + "secret/app", 401, R"(,scope="repository:team/app:pull,push repository:secret/app:pull")"},
      {"a mount from itself", {}, Method::post, mount + "team/app", 401, R"(,scope="repository:team/app:pull,push")"},
      {"a mount by a token that did not ask for the source", bearer(world.w.access_token(alice, "repository:team/app:pull,push")), Method::post, mount + "secret/app", 401, R"(,scope="repository:team/app:pull,push repository:secret/app:pull",error="insufficient_scope")"},
      {"a mount by a token that did and got nothing", both, Method::post, mount + "secret/app", 202, "-"},
      {"a mount by password", alice, Method::post, mount + "secret/app", 202, "-"},
      {"a mount of a name that is none", both, Method::post, mount + "NO", 202, "-"},
      {"not below /v2/", {}, Method::delete_, "/api/v1/repositories/team/app", 401, "Basic"},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const Response response = world.w.send(row.shown, row.method, row.target);
    CHECK(response.status == row.status);
    if (row.rest == "-") CHECK(challenge(response).empty());
    else if (row.rest == "Basic") CHECK(challenge(response) == R"(Basic realm="berth")");
    else CHECK(challenge(response) == start + row.rest);
    CHECK(response.headers.all("WWW-Authenticate").size() == (row.status == 401 ? 1 : 0));
  }
}

TEST_CASE("a mount takes from what the caller may pull, and from nothing else") {
  World world;
  REQUIRE(world.w.registry.push_image("secret/app", "v1", {"hidden"}).has_value());
  REQUIRE(world.w.registry.push_image("team/lib", "v1", {"shared"}).has_value());
  const Shown alice = basic("alice", "secret");
  const auto mount = [&](const char* content, const std::string& from) {
    const std::string target = "/v2/team/new/blobs/uploads/?mount=" + oci::sha256(content).to_string() + from;
    return world.w.send(alice, Method::post, target).status;
  };
  CHECK(mount("shared", "&from=team/lib") == 201);
  CHECK(mount("shared", "") == 201);
  CHECK(mount("hidden", "&from=secret/app") == 202);
  CHECK(mount("hidden", "") == 202);
  CHECK(mount("nowhere", "&from=secret/app") == 202);
}

TEST_CASE("tags that a push may make, move and take away") {
  World world;
  world.w.add_user("bob", "bob");
  world.w.grant("user:bob", "team/app", "maintainer", {"dev-*"});
  const Shown bob = basic("bob", "bob");
  const std::string manifest = berth::test::TestRegistry::image_manifest({"config", "layer"}, "bob's");
  const auto put = [&](const std::string& reference) {
    const Said said{manifest, {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}}};
    return world.w.send(bob, Method::put, "/v2/team/app/manifests/" + reference, said).status;
  };
  const std::string digest = oci::sha256(manifest).to_string();
  CHECK(put("dev-1") == 201);
  CHECK(put("v1") == 403);
  CHECK(put("v2") == 403);  // nor a new one outside
  CHECK(put(digest + "?tag=dev-2") == 201);
  CHECK(put(digest + "?tag=dev-3&tag=v3") == 403);
  CHECK(world.w.send(bob, Method::head, "/v2/team/app/manifests/dev-3").status == 404);
  for (const char* tag : {"v1", "v9"}) {
    CHECK(world.w.send(bob, Method::delete_, std::string("/v2/team/app/manifests/") + tag).status == 403);
  }
  CHECK(world.w.send(bob, Method::delete_, "/v2/team/app/manifests/dev-1").status == 202);
}

TEST_CASE("an upload belongs to who began it") {
  World world;
  world.w.add_user("bob", "bob", {"dev"});
  const Shown alice = basic("alice", "secret");
  const Response begun = world.w.send(alice, Method::post, "/v2/team/app/blobs/uploads/");
  REQUIRE(begun.status == 202);
  const std::string where(begun.headers.get("Location"));
  const Shown token = bearer(world.w.access_token(alice, "repository:team/app:pull,push"));
  CHECK(world.w.send(alice, Method::get, where).status == 204);
  CHECK(world.w.send(token, Method::get, where).status == 204);
  CHECK(world.w.send(basic("bob", "bob"), Method::get, where).status == 404);
  CHECK(world.w.send({.local = true}, Method::get, where).status == 404);
}

TEST_CASE("failed logins slow down whoever fails, and nobody else") {
  World world;
  const Shown wrong = basic("alice", "wrong"), right = basic("alice", "secret");
  REQUIRE(world.pull(right) == 200);
  unsigned status = 401;
  int failures = 0;
  for (; status == 401 && failures < 50; ++failures) status = world.pull(wrong);
  CHECK(failures > 2);
  REQUIRE(status == 429);
  const Response refused = world.w.send(wrong, Method::get, kPull);
  REQUIRE(refused.status == 429);
  const int wait = std::stoi(std::string(refused.headers.get("Retry-After")));
  CHECK(wait >= 1);
  CHECK(wait <= 30);
  CHECK(refused.headers.all("Retry-After").size() == 1);
  CHECK(world.pull(right) == 200);  // what was verified a moment ago needs no check
  CHECK(world.pull(bearer(world.w.add_token("alice"))) == 200);
  // A name that nobody has is slowed down just so.
  int unknown = 0;
  for (status = 401; status == 401 && unknown < 50; ++unknown) status = world.pull(basic("nobody", "wrong"));
  CHECK(unknown == failures);
  world.w.registry.clock().advance(std::chrono::seconds(wait + 1));
  CHECK(world.pull(wrong) == 401);
}

TEST_CASE("a hash of another cost is made anew at a login, and nobody is put out by it") {
  World world;
  const std::string old = auth::hash_password("secret", world.w.registry.entropy(), {1, 128, 1}).value();
  world.w.must(world.w.identities().update_user(AccessWorld::kRoot, "alice", {.password_hash = old}));
  const registry::NewCredential refresh{.hash = {}, .name = "refresh", .service = "s"};
  world.w.must(world.w.identities().issue_refresh_token(AccessWorld::kRoot, "user:alice", registry::OwnerOrigin::local, refresh));
  CHECK(world.pull(basic("alice", "wrong")) == 401);
  CHECK(world.w.must(world.w.identities().find_login("alice"))->password_hash == old);
  CHECK(world.pull(basic("alice", "secret")) == 200);
  const std::string now = world.w.must(world.w.identities().find_login("alice"))->password_hash;
  CHECK(now != old);
  CHECK_FALSE(auth::needs_rehash(now, {1, 64, 1}));
  CHECK(world.pull(basic("alice", "secret")) == 200);
  const auto kept = world.w.must(world.w.identities().list_credentials(registry::CredentialKind::refresh_token, "user:alice", 9, 0));
  CHECK(kept.items.size() == 1);
}

TEST_CASE("users of an htpasswd file, as long as it lists them") {
  const std::string path = (std::filesystem::temp_directory_path() / ("berth-htpasswd-" + std::to_string(::getpid()))).string();
  // "secret"
  const std::string line = "carol:$2y$04$GcxMSBu8IYlaGQ1tV2a4iequfofc8BK7VzrLQ.6Ly/cukeBkCQPLe\n";
  std::ofstream(path) << line;
  auth::AuthOptions options;
  options.htpasswd_file = path;
  World world(options);
  world.w.grant("user:carol", "team/**", "reader");
  const Shown carol = basic("carol", "secret");
  CHECK(world.pull(basic("carol", "wrong")) == 401);
  REQUIRE(world.pull(carol) == 200);
  const Shown token = bearer(world.w.access_token(carol, "repository:team/app:pull"));
  CHECK(world.pull(token) == 200);
  std::ofstream(path, std::ios::trunc) << "dave" << line.substr(5);
  world.w.registry.clock().advance(std::chrono::seconds(2));
  CHECK(world.pull(carol) == 401);
  CHECK(world.pull(token) == 401);
  std::filesystem::remove(path);
}

TEST_CASE("a personal token of somebody in a directory is good while the directory has them") {
  if (!TestDirectory::available("a personal token of somebody in a directory")) return;
  const std::string tree =
      "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n\n"
      "dn: cn=berth,dc=example,dc=org\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
      "cn: berth\nuserPassword: searching\n\n"
      "dn: uid=dora,dc=example,dc=org\nobjectClass: inetOrgPerson\nsn: x\ncn: x\nuid: dora\nuserPassword: d\n\n"
      "dn: cn=dev,dc=example,dc=org\nobjectClass: groupOfNames\ncn: dev\nmember: uid=dora,dc=example,dc=org\n\n";
  TestDirectory directory(tree);
  auth::AuthOptions options;
  options.ldap.emplace();
  options.ldap->endpoint.urls = {directory.url()};
  options.ldap->endpoint.ca_file = directory.root();
  const TestFolder folder;
  options.ldap->bind_dn = "cn=berth,dc=example,dc=org";
  options.ldap->bind_password_file = folder.write("password", "searching\n");
  options.ldap->user_base = options.ldap->group_base = "dc=example,dc=org";
  World world(options);
  const auto token = [&world](const char* user) {
    const auth::Secret secret = auth::make_secret(auth::SecretKind::personal, world.w.registry.entropy());
    const registry::NewCredential credential{.hash = AccessWorld::hash_of(secret), .name = "one"};
    world.w.must(world.w.identities().create_token(AccessWorld::kRoot, std::string("user:") + user, registry::OwnerOrigin::outside, credential));
    return bearer(secret.text);
  };
  CHECK(world.pull(basic("dora", "d")) == 200);
  CHECK(world.pull(basic("dora", "x")) == 401);
  const Shown dora = token("dora");
  CHECK(world.pull(dora) == 200);
  CHECK(world.pull(bearer(world.w.access_token(dora, "repository:team/app:pull"))) == 200);
  CHECK(world.pull(token("emil")) == 401);
  // A local user of that name who is disabled is out, whatever the directory says.
  world.w.must(world.w.identities().create_user(AccessWorld::kRoot, {.name = "dora", .enabled = false}));
  CHECK(world.pull(dora) == 401);
  CHECK(world.pull(basic("dora", "d")) == 401);
  directory.stop();
  CHECK(world.pull(basic("emil", "e")) == 503);  // not a no
}

TEST_CASE("grants and roles of the configuration hold beside stored ones, and change while berth runs") {
  auth::AuthOptions options;
  options.grants = {{.subjects = {"anonymous"}, .repositories = {registry::RepositoryPattern::parse("public/*").value()}, .role = "puller"}};
  options.roles = {{"puller", {auth::Action::pull}}};
  World world(options);
  REQUIRE(world.w.registry.push_image("public/tool", "v1", {"layer"}).has_value());
  const std::string target = "/v2/public/tool/manifests/v1";
  CHECK(world.w.send({}, Method::get, target).status == 200);
  CHECK(world.w.send(bearer(world.w.access_token({}, "repository:public/tool:pull")), Method::get, target).status == 200);
  CHECK(world.w.send({}, Method::delete_, target).status == 401);
  CHECK(world.pull({}) == 401);
  world.w.access().set_configured({}, {});
  CHECK(world.w.send({}, Method::get, target).status == 401);
  CHECK(world.pull(basic("alice", "secret")) == 200);
}

TEST_CASE("without accounts everybody may do everything but manage accounts") {
  auth::AuthOptions off = AccessWorld::quick();
  off.enabled = false;
  AccessWorld w(off);
  REQUIRE(w.registry.push_image("team/app", "v1", {"layer"}).has_value());
  CHECK(w.send({}, Method::get, "/v2/").status == 200);
  CHECK(w.send(basic("nobody", "whatever"), Method::get, kPull).status == 200);
  CHECK(w.send({}, Method::delete_, kPull).status == 202);
  const auto policy = w.must(w.access().policy());
  const auth::Principal anybody = *w.must(w.access().identify({}));
  const auth::Principal root = *w.must(w.access().identify({.local = true}));
  CHECK_FALSE(policy->decide(anybody, auth::Action::admin, nullptr).allowed);
  CHECK(policy->decide(root, auth::Action::admin, nullptr).allowed);
}

TEST_CASE("questions about others") {
  World world;
  world.w.add_user("eve", "eve", {"dev"});
  world.w.must(world.w.identities().update_user(AccessWorld::kRoot, "eve", {.enabled = false}));
  const auto may_pull = [&](const char* subject) {
    const auto principal = world.w.must(world.w.access().principal_of_subject(subject));
    const auto name = oci::RepositoryName::parse("team/app").value();
    return world.w.must(world.w.access().policy())->decide(principal, auth::Action::pull, &name).allowed;
  };
  CHECK(may_pull("user:alice"));
  CHECK(may_pull("group:dev"));
  CHECK_FALSE(may_pull("user:eve"));
  CHECK_FALSE(may_pull("user:nobody"));
  CHECK_FALSE(may_pull("robot:ci"));
  CHECK_FALSE(may_pull("anonymous"));
  CHECK(may_pull("local:root"));
}

}  // namespace berth::api::test
