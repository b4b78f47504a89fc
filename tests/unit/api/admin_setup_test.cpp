// The first administrator by the set-up secret.
#include "tests/unit/api/admin_world.h"

namespace berth::api::test {
namespace {

const std::string kSecret = "a secret of some length";

Json wish(const std::string& secret = kSecret, const std::string& name = "Admin") {
  return {{"secret", secret}, {"name", name}, {"password", "a good password"}};
}

TEST_CASE("the set-up secret makes the first administrator, once") {
  AdminWorld x;
  x.tools->given.setup_secret = kSecret;
  CHECK(x.get("/api/v1/users") == 403);
  CHECK(x.post("/api/v1/setup", wish()) == 201);
  CHECK(x.header("Location") == "/api/v1/users/admin");
  CHECK(x.header("Cache-Control") == "no-store");
  CHECK(x.json["subject"] == "user:admin");
  CHECK(x.text.find("a good password") == std::string::npos);
  CHECK(x.text.find(kSecret) == std::string::npos);
  x.be(x.as("user:admin"));
  CHECK(x.get("/api/v1/users") == 200);
  CHECK(x.names() == "admin");
  CHECK(x.get("/api/v1/grants") == 200);
  CHECK(x.json["items"].size() == 1);

  x.be({});
  CHECK(x.post("/api/v1/setup", wish(kSecret, "second")) == 403);
  const std::string told = x.message();
  CHECK(x.post("/api/v1/setup", wish("another secret of some length", "second")) == 403);
  CHECK(x.message() == told);
  CHECK(x.post("/api/v1/setup", Json::array()) == 403);  // nobody reads it any more
  // Not even when the user is gone again.
  x.be(x.as("user:admin"));
  CHECK(x.post("/api/v1/users", {{"name", "other"}}) == 201);
  CHECK(x.post("/api/v1/grants", {{"subjects", {"user:other"}}, {"repositories", {"**"}}, {"role", "admin"}}) == 201);
  x.be(x.as("user:other"));
  CHECK(x.del("/api/v1/users/admin") == 204);
  x.be(auth::Principal::authenticated(std::string(auth::kLocalRoot), {}, registry::kSystemActor, "local"));
  REQUIRE(run_task(x.identities().delete_user({}, "other", registry::Erasure::keep_name, {})));
  REQUIRE(run_task(x.identities().totals())->users == 0);
  x.be({});
  CHECK(x.post("/api/v1/setup", wish(kSecret, "third")) == 403);
  CHECK(x.message() == told);
  // Another secret is another start.
  x.tools->given.setup_secret = "another secret of some length";
  CHECK(x.post("/api/v1/setup", wish("another secret of some length", "fourth")) == 201);
}

TEST_CASE("what is asked for with the set-up secret must be good") {
  AdminWorld x;
  x.tools->given.setup_secret = kSecret;
  struct Row {
    const char* name;
    Json body;
    unsigned status;
  };
  const Row rows[] = {
      {"a wrong secret", wish("a secret of some lengti"), 403},
      {"the beginning of it", wish("a secret"), 403},
      {"an empty one", wish(""), 403},
      {"none", {{"name", "a"}, {"password", "a good password"}}, 400},
      {"a secret that is a number", {{"secret", 1}, {"name", "a"}, {"password", "a good password"}}, 400},
      {"no password", {{"secret", kSecret}, {"name", "a"}}, 400},
      {"a short password", {{"secret", kSecret}, {"name", "a"}, {"password", "short"}}, 400},
      {"a name that is none", wish(kSecret, "a b"), 400},
      {"a wish too many", {{"secret", kSecret}, {"name", "a"}, {"password", "a good password"}, {"groups", Json::array()}}, 400},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(x.post("/api/v1/setup", row.body) == row.status);
    CHECK(run_task(x.identities().totals())->users == 0);
  }
  CHECK(x.get("/api/v1/setup") == 405);
  // None of that used it up.
  CHECK(x.post("/api/v1/setup", wish()) == 201);
}

TEST_CASE("without a set-up secret there is nothing to set up") {
  AdminWorld x;
  CHECK(x.post("/api/v1/setup", wish()) == 404);
  CHECK(x.post("/api/v1/setup", wish("")) == 404);
  x.tools->given.setup_secret = kSecret;
  x.tools->given.enabled = false;
  CHECK(x.post("/api/v1/setup", wish()) == 404);
  // An administrator came by another way before.
  x.tools->given.enabled = true;
  x.root();
  x.be({});
  CHECK(x.post("/api/v1/setup", wish()) == 403);
}

}  // namespace
}  // namespace berth::api::test
