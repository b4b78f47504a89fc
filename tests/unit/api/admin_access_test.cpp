// Roles, grants, who I am, why, and what there is to know of the server.
#include <set>

#include "api/admin/openapi.h"
#include "tests/unit/api/admin_world.h"

namespace berth::api::test {
namespace {

auth::Grant configured(const std::string& subject, const std::string& pattern, const std::string& role) {
  return {.subjects = {subject},
          .repositories = {registry::RepositoryPattern::parse(pattern).value()},
          .role = role,
          .origin = "config"};
}

TEST_CASE("roles are listed with where they come from, and only stored ones change") {
  AdminWorld x;
  x.root();
  x.roles.push_back({"deployer", {auth::Action::pull, auth::Action::push}});
  CHECK(x.post("/api/v1/roles", {{"name", "pusher"}, {"actions", {"push", "pull"}}}) == 201);
  CHECK(x.json["actions"] == Json::array({"pull", "push"}));
  CHECK(x.json["origin"] == "stored");
  CHECK(x.get("/api/v1/roles") == 200);
  CHECK(x.names() == "admin deployer maintainer pusher reader writer");
  std::string all, last;
  for (int page = 0; page < 10; ++page) {
    REQUIRE(x.get("/api/v1/roles?n=1&last=" + last) == 200);
    all += x.names() + " ";
    if (x.json["next"].is_null()) break;
    last = x.json["next"];
  }
  CHECK(all == "admin deployer maintainer pusher reader writer ");
  CHECK(x.get("/api/v1/roles/deployer") == 200);
  CHECK(x.json["origin"] == "config");
  CHECK(x.get("/api/v1/roles/admin") == 200);
  CHECK(x.json["origin"] == "built_in");
  for (const char* name : {"admin", "deployer"}) {
    INFO(name);
    CHECK(x.patch(std::string("/api/v1/roles/") + name, {{"description", "x"}}) == 409);
    CHECK(x.del(std::string("/api/v1/roles/") + name) == 409);
  }
  CHECK(x.post("/api/v1/roles", {{"name", "reader"}, {"actions", {"pull"}}}) == 409);
  CHECK(x.post("/api/v1/roles", {{"name", "none"}, {"actions", Json::array()}}) == 400);
  CHECK(x.patch("/api/v1/roles/nope", {{"description", "x"}}) == 404);
  REQUIRE(x.post("/api/v1/grants", {{"subjects", {"user:root"}}, {"repositories", {"a"}}, {"role", "pusher"}}) == 201);
  const std::string grant = x.json["id"];
  CHECK(x.del("/api/v1/roles/pusher") == 409);
  CHECK(x.message().find(grant) != std::string::npos);
  CHECK(x.del("/api/v1/grants/" + grant) == 204);
  CHECK(x.del("/api/v1/roles/pusher") == 204);
}

TEST_CASE("grants are listed with those of the configuration first, which do not change") {
  AdminWorld x;
  x.root();
  x.grants = {configured("group:dev", "team/**", "writer"), configured("anonymous", "public/**", "reader")};
  REQUIRE(x.post("/api/v1/grants", {{"subjects", {"user:Bob", "group:dev"}},
                                    {"repositories", {"b/**"}},
                                    {"actions", {"pull", "push"}},
                                    {"tags", {"v*"}}}) == 201);
  CHECK(x.json["subjects"] == Json::array({"user:bob", "group:dev"}));
  CHECK(x.json["role"].is_null());
  const std::string id = x.json["id"], etag = x.header("ETag");
  REQUIRE(x.get("/api/v1/grants") == 200);
  CHECK(x.json["items"].size() == 4);
  CHECK(x.json["items"][0]["origin"] == "config");
  CHECK(x.json["items"][3]["id"] == id);
  for (const int n : {1, 2, 3, 4}) {
    INFO(n);
    std::string all, last;
    for (int page = 0; page < 10; ++page) {
      REQUIRE(x.get("/api/v1/grants?n=" + std::to_string(n) + "&last=" + last) == 200);
      all += x.names("origin") + " ";
      if (x.json["next"].is_null()) break;
      last = x.json["next"];
    }
    CHECK(all == "config config stored stored ");
  }
  CHECK(x.get("/api/v1/grants?subject=group:dev") == 200);
  CHECK(x.names("origin") == "config stored");
  CHECK(x.get("/api/v1/grants?subject=nobody") == 400);
  CHECK(x.get("/api/v1/grants?last=x") == 400);
  CHECK(x.get("/api/v1/grants/config-2") == 200);
  CHECK(x.json["subjects"] == Json::array({"anonymous"}));
  const Json content = {{"subjects", {"group:dev"}}, {"repositories", {"b/**"}}, {"role", "reader"}};
  for (const char* name : {"config-3", "config-0", "config-", "9999", "x"}) {
    INFO(name);
    CHECK(x.get(std::string("/api/v1/grants/") + name) == 404);
    CHECK(x.del(std::string("/api/v1/grants/") + name) == 404);
  }
  CHECK(x.put("/api/v1/grants/config-1", content) == 409);
  CHECK(x.del("/api/v1/grants/config-1") == 409);
  CHECK(x.put("/api/v1/grants/" + id, content, etag) == 200);
  CHECK(x.put("/api/v1/grants/" + id, content, etag) == 412);
  CHECK(x.del("/api/v1/grants/" + id) == 204);

  struct Row {
    std::string name, body;
  };
  const std::vector<Row> bad = {
      {"neither role nor actions", R"({"subjects":["user:a"],"repositories":["a"]})"},
      {"both", R"({"subjects":["user:a"],"repositories":["a"],"role":"reader","actions":["pull"]})"},
      {"no subjects", R"({"subjects":[],"repositories":["a"],"role":"reader"})"},
      {"a bad subject", R"({"subjects":["alice"],"repositories":["a"],"role":"reader"})"},
      {"the local socket", R"({"subjects":["local:root"],"repositories":["a"],"role":"reader"})"},
      {"a bad pattern", R"({"subjects":["user:a"],"repositories":["A b"],"role":"reader"})"},
      {"an unknown role", R"({"subjects":["user:a"],"repositories":["a"],"role":"nope"})"},
      {"an unknown member", R"({"subjects":["user:a"],"repositories":["a"],"role":"reader","until":1})"},
  };
  for (const Row& row : bad) {
    INFO(row.name);
    CHECK(x.send(Method::post, "/api/v1/grants", row.body) == 400);
  }
}

TEST_CASE("who I am and what I may do is told, and why") {
  AdminWorld x;
  x.root();
  REQUIRE(x.post("/api/v1/groups", {{"name", "dev"}}) == 201);
  REQUIRE(x.post("/api/v1/users", {{"name", "alice"}, {"groups", {"dev"}}}) == 201);
  x.grants = {configured("group:dev", "team/**", "reader"), configured("user:bob", "secret/**", "reader")};
  CHECK(x.get("/api/v1/me") == 200);
  CHECK(x.json["administrator"] == true);
  CHECK(x.json["subject"] == "user:root");
  CHECK(x.json["scope"].is_null());
  CHECK(x.get("/api/v1/access/explain?subject=user:alice&action=pull&repository=team/app&tag=v1") == 200);
  CHECK(x.json["allowed"] == true);
  CHECK(x.json["origin"] == "config");
  CHECK(x.json["grants"].size() == 4);
  CHECK(x.get("/api/v1/access/explain?subject=user:alice&action=push&repository=team/app") == 200);
  CHECK(x.json["allowed"] == false);
  CHECK(x.get("/api/v1/access/explain?subject=anonymous&action=pull&repository=team/app") == 200);
  CHECK(x.json["allowed"] == false);
  for (const char* query : {"", "?action=fly", "?action=pull&repository=A", "?action=pull&repository=a&tag=%20",
                            "?action=pull&tag=v1", "?action=pull&subject=x"}) {
    INFO(query);
    CHECK(x.get(std::string("/api/v1/access/explain") + query) == 400);
  }

  x.be(x.as("user:alice"));
  CHECK(x.get("/api/v1/me") == 200);
  CHECK(x.json["administrator"] == false);
  CHECK(x.get("/api/v1/access/explain?action=pull&repository=team/app") == 200);
  CHECK(x.json["allowed"] == true);
  CHECK(x.json["grants"].size() == 1);  // what others are given is not told
  CHECK(x.text.find("bob") == std::string::npos);
  CHECK(x.text.find("secret") == std::string::npos);
  CHECK(x.get("/api/v1/access/explain?action=pull&repository=team/app&subject=user:Alice") == 200);
  CHECK(x.get("/api/v1/access/explain?action=pull&repository=team/app&subject=user:bob") == 403);
  x.me.ceiling.emplace();
  CHECK(x.get("/api/v1/access/explain?action=pull&repository=team/app") == 200);
  CHECK(x.json["allowed"] == false);
  CHECK(x.json["scope_allows"] == false);
}

TEST_CASE("certificates, version and repositories") {
  AdminWorld x;
  x.root();
  x.options.version = "1.2.3";
  CHECK(x.get("/api/v1/version") == 200);
  CHECK(x.json["version"] == "1.2.3");
  CHECK(x.get("/api/v1/certificates") == 200);
  CHECK(x.json["items"].empty());
  x.options.certificates = [] {
    LoadedCertificate certificate;
    certificate.listener = "0.0.0.0:443";
    certificate.not_after = WallTime(std::chrono::seconds(1'800'000'000));
    return std::vector<LoadedCertificate>{certificate};
  };
  CHECK(x.get("/api/v1/certificates") == 200);
  CHECK(x.json["items"][0]["not_after"] == "2027-01-15T08:00:00.000Z");
  CHECK(x.get("/api/v1/repositories?n=2") == 200);
  CHECK(x.names() == "a b/c");
  CHECK(x.json["next"] == "b/c");
  CHECK(x.get("/api/v1/repositories?n=10") == 200);
  CHECK(x.json["next"].is_null());
}

TEST_CASE("the description names every route and nothing else") {
  std::set<std::string> routes, words;
  for (const Route& route : route_table()) {
    if (route.path.starts_with("/api/v1/")) routes.emplace(route.operation);
  }
  for (const admin::OperationWords& operation : admin::operation_words()) {
    CHECK(words.emplace(operation.operation).second);
  }
  CHECK(routes == words);

  AdminWorld x;
  x.root();
  REQUIRE(x.get("/api/v1/openapi.json") == 200);
  const Json& document = x.json;
  CHECK(document["openapi"] == "3.1.0");
  std::size_t described = 0;
  for (const auto& [path, operations] : document["paths"].items()) described += operations.size();
  CHECK(described == routes.size());

  // Every reference leads somewhere, and nothing stands there that none leads to.
  std::set<std::string> referred, there;
  const auto walk = [&](const Json& value, const auto& self) -> void {
    if (value.is_object() && value.contains("$ref")) referred.insert(value["$ref"].get<std::string>().substr(1));
    if (value.is_structured()) {
      for (const Json& part : value) self(part, self);
    }
  };
  walk(document, walk);
  for (const char* kind : {"schemas", "parameters", "responses"}) {
    for (const auto& [name, value] : document["components"][kind].items()) {
      there.insert(std::string("/components/") + kind + "/" + name);
    }
  }
  CHECK(referred == there);
}

}  // namespace
}  // namespace berth::api::test
