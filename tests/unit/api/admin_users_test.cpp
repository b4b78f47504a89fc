// Users, groups, and who may not be locked out.
#include "tests/unit/api/admin_world.h"

namespace berth::api::test {
namespace {

TEST_CASE("a user is made, read, changed, listed and deleted") {
  AdminWorld x;
  x.root();
  CHECK(x.post("/api/v1/groups", {{"name", "Dev"}, {"outside_members", {"federated:ci:job"}}}) == 201);
  CHECK(x.header("Location") == "/api/v1/groups/dev");
  CHECK(x.post("/api/v1/users", {{"name", "Alice"}, {"password", "long enough"}, {"groups", {"dev"}}}) == 201);
  CHECK(x.header("Location") == "/api/v1/users/alice");
  CHECK(x.header("Cache-Control") == "no-store");
  CHECK(x.json["subject"] == "user:alice");
  CHECK(x.json["groups"] == Json::array({"dev"}));
  CHECK(x.text.find("long enough") == std::string::npos);
  CHECK(x.text.find("hash") == std::string::npos);
  const std::string etag = x.header("ETag");
  CHECK(etag == "\"" + x.json["version"].get<std::string>() + "\"");

  CHECK(x.get("/api/v1/users/ALICE") == 200);
  CHECK(x.header("ETag") == etag);
  CHECK(x.get("/api/v1/groups/dev/users") == 200);
  CHECK(x.names() == "alice");
  CHECK(x.patch("/api/v1/users/alice", {{"display_name", "Alice"}, {"password", nullptr}}, etag) == 200);
  CHECK(x.json["display_name"] == "Alice");
  CHECK(x.json["password_changed_at"].is_null());
  CHECK(x.patch("/api/v1/users/alice", {{"email", "a@b"}}, etag) == 412);
  CHECK(x.patch("/api/v1/users/alice", {{"email", "a@b"}}, "nonsense") == 412);
  CHECK(x.patch("/api/v1/users/alice", {{"email", "a@b"}}, "*") == 200);
  CHECK(x.post("/api/v1/users", {{"name", "alice"}}) == 409);
  CHECK(x.code() == "CONFLICT");
  CHECK(x.get("/api/v1/users?n=1") == 200);
  CHECK(x.names() == "alice");
  CHECK(x.json["next"] == "alice");
  CHECK(x.get("/api/v1/users?n=1&last=alice") == 200);
  CHECK(x.names() == "root");
  CHECK(x.json["next"].is_null());
  CHECK(x.del("/api/v1/users/alice", etag) == 412);
  CHECK(x.del("/api/v1/users/alice?erase=true") == 204);
  CHECK(x.get("/api/v1/users/alice") == 404);
  CHECK(x.code() == "NAME_UNKNOWN");
  CHECK(x.del("/api/v1/users/alice") == 404);
  CHECK(x.patch("/api/v1/users/alice", Json::object()) == 404);
  CHECK(x.patch("/api/v1/groups/dev", {{"description", "those who write"}}) == 200);
  CHECK(x.json["outside_members"] == Json::array({"federated:ci:job"}));
  CHECK(x.del("/api/v1/groups/dev") == 204);
  CHECK(x.get("/api/v1/groups/dev") == 404);
  CHECK(x.get("/api/v1/groups/dev/users") == 404);
}

TEST_CASE("what cannot be read is refused by the name of what is wrong") {
  AdminWorld x;
  x.root();
  struct Row {
    std::string name, body, told;
  };
  const std::vector<Row> rows = {
      {"nothing", "", "Content-Type"},
      {"no JSON", "{", "the body is no JSON"},
      {"a list", "[]", "not a JSON object"},
      {"a member twice", R"({"name":"a","name":"b"})", "the body is no JSON"},
      {"no name", "{}", "name is missing"},
      {"a number for a name", R"({"name":1})", "name is not a text"},
      {"a bad name", R"({"name":"a/b"})", "name is 1 to 64"},
      {"an unknown member", R"({"name":"a","admin":true})", "admin is no member"},
      {"a text for a truth", R"({"name":"a","enabled":"no"})", "enabled is neither"},
      {"a text for a list", R"({"name":"a","groups":"dev"})", "groups is not a list"},
      {"a list of numbers", R"({"name":"a","groups":[1]})", "groups is not a list"},
      {"null for a text", R"({"name":"a","email":null})", "email is not a text"},
      {"a short password", R"({"name":"a","password":"1234567"})", "password is shorter"},
      {"a group that is not there", R"({"name":"a","groups":["nope"]})", "nope"},
      {"too deep", R"({"name":)" + std::string(100, '[') + std::string(100, ']') + "}", "the body is no JSON"},
      {"too large", R"({"name":")" + std::string(1 << 20, 'a') + "\"}", "larger than"},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    CHECK(x.send(Method::post, "/api/v1/users", row.body) == 400);
    INFO(x.text.substr(0, 300));
    CHECK(x.message().find(row.told) != std::string::npos);
  }
  CHECK(x.send(Method::post, "/api/v1/users", R"({"name":"a"})", {{"Content-Type", "text/plain"}}) == 400);
  CHECK(x.send(Method::post, "/api/v1/users", R"({"name":"a"})", {{"Content-Type", "Application/JSON; charset=utf-8"}}) ==
        201);
  for (const char* target : {"/api/v1/users?n=0", "/api/v1/users?n=x", "/api/v1/users/a?erase=maybe"}) {
    INFO(target);
    CHECK(x.send(std::string_view(target).find("erase") != std::string_view::npos ? Method::delete_ : Method::get,
                 target) == 400);
  }
}

TEST_CASE("only administrators manage, and who is nobody hears that a login is needed") {
  AdminWorld x;
  x.root();
  REQUIRE(x.post("/api/v1/users", {{"name", "bob"}}) == 201);
  for (const char* who : {"user:bob", "anonymous"}) {
    x.be(x.as(who));
    INFO(who);
    for (const Route& route : route_table()) {
      if (!route.path.starts_with("/api/v1/") || route.action != auth::Action::admin) continue;
      std::string path(route.path);
      while (path.find('{') != std::string::npos) {
        const std::size_t open = path.find('{');
        path.replace(open, path.find('}') - open + 1, "1");
      }
      INFO(path);
      CHECK(x.send(route.method, path, "{}") == 403);
    }
  }
  for (const char* target : {"/api/v1/me", "/api/v1/me/tokens", "/api/v1/version", "/api/v1/openapi.json",
                             "/api/v1/access/explain?action=pull"}) {
    INFO(target);
    CHECK(x.get(target) == 401);
  }
}

TEST_CASE("nobody is locked out") {
  AdminWorld x;
  x.root();
  const auto stored = x.get("/api/v1/grants");
  REQUIRE(stored == 200);
  const std::string grant = "/api/v1/grants/" + x.json["items"][0]["id"].get<std::string>();
  const Json less = {{"subjects", {"user:root"}}, {"repositories", {"**"}}, {"role", "reader"}};

  SECTION("by themselves") {
    CHECK(x.del("/api/v1/users/root") == 409);
    CHECK(x.message().find("yourself") != std::string::npos);
    CHECK(x.patch("/api/v1/users/root", {{"enabled", false}}) == 409);
    CHECK(x.del(grant) == 409);
    CHECK(x.put(grant, less) == 409);
    CHECK(x.patch("/api/v1/users/root", {{"display_name", "R"}, {"groups", Json::array()}}) == 200);
  }
  SECTION("when nobody else is administrator") {
    x.be(x.as("local:root"));
    x.me = auth::Principal::authenticated(std::string(auth::kLocalRoot), {}, registry::kSystemActor, "local");
    CHECK(x.del("/api/v1/users/root") == 409);
    CHECK(x.message().find("nobody") != std::string::npos);
    CHECK(x.patch("/api/v1/users/root", {{"enabled", false}}, "*") == 409);
    CHECK(x.del(grant) == 409);
    CHECK(x.put(grant, less) == 409);
    // Another one by a group.
    REQUIRE(x.post("/api/v1/groups", {{"name", "ops"}}) == 201);
    REQUIRE(x.post("/api/v1/users", {{"name", "eve"}, {"groups", {"ops"}}, {"enabled", false}}) == 201);
    REQUIRE(x.post("/api/v1/roles", {{"name", "boss"}, {"actions", {"pull", "admin"}}}) == 201);
    REQUIRE(x.post("/api/v1/grants", {{"subjects", {"group:ops"}}, {"repositories", {"**"}}, {"role", "boss"}}) == 201);
    CHECK(x.del("/api/v1/users/root") == 409);  // eve may not come in
    REQUIRE(x.patch("/api/v1/users/eve", {{"enabled", true}}) == 200);
    CHECK(x.del("/api/v1/users/root") == 204);
    CHECK(x.del("/api/v1/groups/ops") == 409);
    CHECK(x.patch("/api/v1/users/eve", {{"groups", Json::array()}}) == 409);
    CHECK(x.patch("/api/v1/roles/boss", {{"actions", {"pull"}}}) == 409);
    CHECK(x.patch("/api/v1/roles/boss", {{"actions", {"push", "admin"}}}) == 200);
    // Somebody from outside may be in the group.
    x.tools->given.ldap.emplace();
    CHECK(x.patch("/api/v1/users/eve", {{"groups", Json::array()}}) == 200);
  }
  SECTION("unless the configuration says who else is") {
    x.grants.push_back({.subjects = {"federated:ci:job"},
                        .repositories = {registry::RepositoryPattern::everything()},
                        .role = "admin",
                        .origin = "config"});
    x.me = auth::Principal::authenticated(std::string(auth::kLocalRoot), {}, registry::kSystemActor, "local");
    CHECK(x.del("/api/v1/users/root") == 204);
  }
}

}  // namespace
}  // namespace berth::api::test
