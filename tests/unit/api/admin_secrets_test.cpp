// Robots, tokens, and that secrets are seen once.
#include "auth/secrets.h"
#include "tests/unit/api/admin_world.h"

namespace berth::api::test {
namespace {

bool opens(AdminWorld& x, const std::string& secret) {
  const std::string hash = auth::hash_secret(secret);
  registry::SecretHash key;
  std::memcpy(key.data(), hash.data(), key.size());
  const auto found = run_task(x.identities().find_credential(key));
  REQUIRE(found.has_value());
  return found->has_value();
}

TEST_CASE("a robot's secret is followed by another one, both good for a while") {
  AdminWorld x;
  x.root();
  const Json scope = {{{"repositories", {"team/**"}}, {"actions", {"push", "pull"}}}};
  CHECK(x.post("/api/v1/robots", {{"name", "ci"}, {"scope", scope}}) == 201);
  const std::string first = x.json["secret"];
  CHECK(auth::parse_secret(first) == auth::SecretKind::robot);
  CHECK(x.json["scope"] == Json({{{"repositories", {"team/**"}}, {"actions", {"pull", "push"}}}}));
  CHECK(x.json["secrets"][0]["expires_at"] == "2026-04-01T00:00:00.000Z");  // in 90 days
  const std::string first_id = x.json["secrets"][0]["id"];
  CHECK(opens(x, first));
  CHECK(x.header("Cache-Control") == "no-store");

  CHECK(x.get("/api/v1/robots/ci") == 200);
  CHECK(x.text.find(first) == std::string::npos);
  CHECK(x.post("/api/v1/robots/ci/secrets", {{"name", "next"}, {"expires_at", nullptr}}) == 201);
  const std::string second = x.json["secret"];
  CHECK(x.json["expires_at"].is_null());
  CHECK(x.header("Location") == "/api/v1/robots/ci/secrets/" + x.json["id"].get<std::string>());
  CHECK(x.post("/api/v1/robots/ci/secrets", Json::object()) == 400);  // a third one
  CHECK((opens(x, first) && opens(x, second)));
  CHECK(x.del("/api/v1/robots/ci/secrets/" + first_id) == 204);
  CHECK((!opens(x, first) && opens(x, second)));
  CHECK(x.del("/api/v1/robots/ci/secrets/" + first_id) == 404);
  CHECK(x.del("/api/v1/robots/ci/secrets/0") == 404);
  CHECK(x.del("/api/v1/robots/ci/secrets/x") == 404);
  CHECK(x.post("/api/v1/robots/nobody/secrets", Json::object()) == 404);
  CHECK(x.patch("/api/v1/robots/ci", {{"scope", nullptr}, {"enabled", false}}) == 200);
  CHECK(x.json["scope"].is_null());
  CHECK(x.del("/api/v1/robots/ci") == 204);
  CHECK_FALSE(opens(x, second));

  for (const char* expires_at : {"2025-01-01T00:00:00Z", "soon", "2027-13-01T00:00:00Z", "2027-01-01T00:00:00"}) {
    INFO(expires_at);
    CHECK(x.post("/api/v1/robots", {{"name", "late"}, {"secret_expires_at", expires_at}}) == 400);
  }
  CHECK(x.post("/api/v1/robots", {{"name", "late"}, {"scope", Json::array()}}) == 400);
  CHECK(x.post("/api/v1/robots", {{"name", "late"}, {"scope", {{{"repositories", {"a"}}}}}}) == 400);
  CHECK(x.message() == "scope[0].actions is missing");
  CHECK(x.post("/api/v1/robots",
               {{"name", "late"}, {"scope", {{{"repositories", {"a"}}, {"actions", {"fly"}}}}}}) == 400);
}

TEST_CASE("everybody has tokens of their own") {
  AdminWorld x;
  x.root();
  REQUIRE(x.post("/api/v1/users", {{"name", "alice"}}) == 201);
  x.be(x.as("user:alice"));
  CHECK(x.post("/api/v1/me/tokens", {{"name", "laptop"}, {"expires_at", "2026-02-01T01:00:00+01:00"}}) == 201);
  const std::string token = x.json["token"], id = x.json["id"];
  CHECK(auth::parse_secret(token) == auth::SecretKind::personal);
  CHECK(x.json["expires_at"] == "2026-02-01T00:00:00.000Z");
  CHECK(x.get("/api/v1/me/tokens") == 200);
  CHECK(x.names() == "laptop");
  CHECK(x.text.find(token) == std::string::npos);
  CHECK(x.post("/api/v1/me/tokens", Json::object()) == 400);
  CHECK(x.message() == "name is missing");

  SECTION("which others cannot see or end") {
    REQUIRE(run_task(x.identities().find_user("root"))->has_value());
    x.be(x.as("user:root"));
    CHECK(x.get("/api/v1/me/tokens") == 200);
    CHECK(x.names().empty());
    CHECK(x.del("/api/v1/me/tokens/" + id) == 404);
    CHECK(opens(x, token));
  }
  SECTION("which their owner ends") {
    CHECK(x.del("/api/v1/me/tokens/" + id) == 204);
    CHECK_FALSE(opens(x, token));
  }
  SECTION("which a token does not make or end") {
    x.me.testimony.credential = "token:" + id;
    CHECK(x.post("/api/v1/me/tokens", {{"name", "more"}}) == 403);
    CHECK(x.del("/api/v1/me/tokens/" + id) == 403);
    CHECK(x.get("/api/v1/me/tokens") == 200);
    x.be(x.as("user:alice"));
    x.me.ceiling.emplace();
    CHECK(x.post("/api/v1/me/tokens", {{"name", "more"}}) == 403);
  }
  SECTION("which nobody makes whom an issuer or a certificate takes for their owner") {
    for (const char* method : {"oidc", "certificate"}) {
      INFO(method);
      x.me.method = method;
      CHECK(x.post("/api/v1/me/tokens", {{"name", "more"}}) == 403);
      CHECK(x.del("/api/v1/me/tokens/" + id) == 403);
      CHECK(x.get("/api/v1/me/tokens") == 200);
    }
    for (const char* method : {"password", "htpasswd", "ldap"}) {
      INFO(method);
      x.me.method = method;
      CHECK(x.post("/api/v1/me/tokens", {{"name", std::string("by ") + method}}) == 201);
    }
  }
  SECTION("which an administrator sees and ends") {
    x.be(x.as("user:root"));
    CHECK(x.get("/api/v1/tokens?owner=user:Alice") == 200);
    CHECK(x.names() == "laptop");
    CHECK(x.get("/api/v1/tokens?owner=user:alice&kind=refresh") == 200);
    CHECK(x.names().empty());
    for (const char* query : {"", "?owner=alice", "?owner=group:dev", "?owner=user:alice&kind=x",
                              "?owner=user:alice&owner=user:bob", "?owner=user:alice&last=x"}) {
      INFO(query);
      CHECK(x.get(std::string("/api/v1/tokens") + query) == 400);
    }
    CHECK(x.del("/api/v1/tokens/" + id + "?owner=user:root") == 404);
    CHECK(x.del("/api/v1/tokens/" + id + "?owner=user:alice") == 204);
    CHECK_FALSE(opens(x, token));
    CHECK(x.del("/api/v1/tokens?owner=user:alice") == 200);
    CHECK(x.json["revoked"] == 0);
  }
  SECTION("but robots and the local socket have none") {
    x.be(x.as("robot:ci"));
    CHECK(x.post("/api/v1/me/tokens", {{"name", "t"}}) == 400);
    x.be(x.as("local:root"));
    CHECK(x.post("/api/v1/me/tokens", {{"name", "t"}}) == 400);
  }
  SECTION("no longer than the configuration allows") {
    x.tools->given.credential_lifetime_max = std::chrono::hours(24);
    CHECK(x.post("/api/v1/me/tokens", {{"name", "t"}}) == 201);
    CHECK(x.json["expires_at"] == "2026-01-02T00:00:00.000Z");
    CHECK(x.post("/api/v1/me/tokens", {{"name", "t"}, {"expires_at", nullptr}}) == 400);
    CHECK(x.post("/api/v1/me/tokens", {{"name", "t"}, {"expires_at", "2026-01-02T00:00:01Z"}}) == 400);
    CHECK(x.post("/api/v1/me/tokens", {{"name", "t"}, {"expires_at", "2026-01-02T00:00:00Z"}}) == 201);
  }
  SECTION("whoever keeps them") {
    x.be(x.as("user:from-directory"));
    CHECK(x.post("/api/v1/me/tokens", {{"name", "t"}}) == 201);
  }
}

}  // namespace
}  // namespace berth::api::test
