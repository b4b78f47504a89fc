// The token endpoint through the whole pipeline, over the real access control.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "api/context.h"
#include "auth/access_control.h"
#include "auth/options.h"
#include "auth/token_service.h"
#include "base/base64.h"
#include "base/bytes.h"
#include "base/http_client.h"
#include "tests/unit/api/exchange.h"
#include "tests/unit/auth/token_world.h"

namespace berth::api {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::Exchange;
using test::FakeBody;
using HeaderList = std::vector<std::pair<std::string, std::string>>;

auth::AuthOptions auth_options() {
  auth::AuthOptions options;
  options.enabled = true;
  options.public_url = "https://registry.example";
  options.passwords.cost = {.iterations = 1, .memory_kib = 64, .lanes = 1};
  options.grants.push_back({.subjects = {"user:alice"},
                            .repositories = {registry::RepositoryPattern::parse("team/**").value()},
                            .actions = {auth::Action::pull, auth::Action::push}});
  options.grants.push_back({.subjects = {"anonymous"},
                            .repositories = {registry::RepositoryPattern::parse("public/**").value()},
                            .actions = {auth::Action::pull}});
  return options;
}

const HeaderList kForm = {{"Content-Type", "application/x-www-form-urlencoded"}};

std::string basic(std::string_view pair) { return "Basic " + encode_base64(as_bytes(pair)); }

/// Alice's password is `r+ght &=%`.
struct World : auth::testing::IdentityWorld {
  explicit World(const auth::AuthOptions& options = auth_options(), ServiceOptions service = {})
      : exchange(std::move(service), false) {
    auto made = auth::TokenService::create(options.token, options.public_url, {identities(), pool, clock, entropy});
    REQUIRE(made.has_value());
    tokens = *std::move(made);
    auto opened = auth::AccessControl::create(options, {identities(), *tokens, http, pool, password_pool, clock, entropy});
    REQUIRE(opened.has_value());
    access = *std::move(opened);
    exchange.service->attach(
        {.registry = exchange.registry, .identities = &identities(), .access = access.get(), .tokens = tokens.get()});
    const std::string hash = must(access->hash_password("r+ght &=%"));
    must(identities().create_user(auth::testing::kRoot, {.name = "alice", .password_hash = hash}));
  }
  ~World() {
    access->stop();
    http.stop();
  }

  const Response& get(const std::string& target, HeaderList headers = {}) {
    return exchange.send(Method::get, target, {.headers = std::move(headers)});
  }
  const Response& post(std::string form, HeaderList headers = kForm, const std::string& target = "/token") {
    return exchange.send(Method::post, target, {.headers = std::move(headers), .body = {std::move(form)}});
  }
  json answer() const { return json::parse(exchange.text()); }
  std::string subject_of(const std::string& token) {
    return must(tokens->verify(token, {.host = "registry.example", .secure = true}))->subject;
  }

  Pool password_pool{"password", 2};
  HttpClient http;
  std::unique_ptr<auth::TokenService> tokens;
  std::unique_ptr<auth::AccessControl> access;
  Exchange exchange;
};

constexpr const char* kPasswordForm = "grant_type=password&username=alice&password=r%2Bght+%26%3D%25";

}  // namespace

TEST_CASE("a token through the pipeline") {
  auth::AuthOptions options = auth_options();
  // No row is throttled for those before it.
  options.throttle.pair.free_failures = options.throttle.account.free_failures = 1000;
  options.throttle.address.free_failures = 1000;
  World world(options);
  const auto begin = [&] {
    world.get("/token?offline_token=true&client_id=docker", {{"Authorization", basic("alice:r+ght &=%")}});
    return world.answer();
  };
  const json first = begin();
  const std::string access = first["token"], refresh = first["refresh_token"];
  struct Row {
    const char* name;
    Method method;
    std::string target;
    HeaderList headers;
    std::string body;
    unsigned status;
    std::string said;  ///< the subject of the token, or the OAuth word, or the code of the registry
  };
  const std::string padding(70'000, 'x');
  const HeaderList two_types = {kForm[0], {"Content-Type", "text/plain"}};
  const HeaderList form_and_basic = {kForm[0], {"Authorization", basic("alice:r+ght &=%")}};
  const HeaderList form_and_nobody = {kForm[0], {"Authorization", "Basic Og=="}};
  const std::vector<Row> rows = {
      {"nobody", Method::get, "/token", {}, "", 200, "anonymous"},
      {"the empty pair is nobody", Method::get, "/token", {{"Authorization", "Basic Og=="}}, "", 200, "anonymous"},
      {"alice", Method::get, "/token?service=registry.example", {{"Authorization", basic("alice:r+ght &=%")}}, "", 200, "user:alice"},
      {"a wrong password is not nobody", Method::get, "/token?scope=repository:public/x:pull", {{"Authorization", basic("alice:wrong")}}, "", 401, "UNAUTHORIZED"},
      {"an unknown user is not nobody", Method::get, "/token", {{"Authorization", basic("mallory:x")}}, "", 401, "UNAUTHORIZED"},
      {"two credentials", Method::get, "/token", {{"Authorization", basic("alice:r+ght &=%")}, {"Authorization", "Basic Og=="}}, "", 401, "UNAUTHORIZED"},
      {"another scheme", Method::get, "/token", {{"Authorization", "Digest x"}}, "", 401, "UNAUTHORIZED"},
      {"a token for a token", Method::get, "/token", {{"Authorization", "Bearer " + access}}, "", 401, "UNAUTHORIZED"},
      {"a refresh token for a token", Method::get, "/token", {{"Authorization", "Bearer " + refresh}}, "", 401, "UNAUTHORIZED"},
      {"a refresh token as a password", Method::get, "/token", {{"Authorization", basic("alice:" + refresh)}}, "", 401, "UNAUTHORIZED"},
      {"an access token as a password", Method::get, "/token", {{"Authorization", basic("alice:" + access)}}, "", 401, "UNAUTHORIZED"},
      {"a refresh token as an access token", Method::get, "/v2/", {{"Authorization", "Bearer " + refresh}}, "", 401, "UNAUTHORIZED"},
      {"another service", Method::get, "/token?service=other", {}, "", 400, "UNSUPPORTED"},
      {"service twice", Method::get, "/token?service=registry.example&servic%65=registry.example", {}, "", 400, "UNSUPPORTED"},
      {"a broken escape", Method::get, "/token?scope=%zz", {}, "", 400, "UNSUPPORTED"},
      {"HEAD", Method::head, "/token", {}, "", 405, "UNSUPPORTED"},
      {"PUT", Method::put, "/token", {}, "", 405, "UNSUPPORTED"},
      {"a form", Method::post, "/token", kForm, kPasswordForm, 200, "user:alice"},
      {"a form with a charset", Method::post, "/token", {{"Content-Type", "Application/X-WWW-Form-Urlencoded ; charset=utf-8"}}, kPasswordForm, 200, "user:alice"},
      {"a form, and nobody in the header", Method::post, "/token", form_and_nobody, kPasswordForm, 200, "user:alice"},
      {"a form with a wrong password", Method::post, "/token", kForm, "grant_type=password&username=alice&password=wrong", 401, "invalid_grant"},
      {"a plus is a blank", Method::post, "/token", kForm, "grant_type=password&username=alice&password=r+ght+%26%3D%25", 401, "invalid_grant"},
      {"a refresh token", Method::post, "/token", kForm, "grant_type=refresh_token&refresh_token=" + refresh, 200, "user:alice"},
      {"an access token as a refresh token", Method::post, "/token", kForm, "grant_type=refresh_token&refresh_token=" + access, 401, "invalid_grant"},
      {"a refresh token as a password", Method::post, "/token", kForm, "grant_type=password&username=alice&password=" + refresh, 401, "invalid_grant"},
      {"two credentials, form and header", Method::post, "/token", form_and_basic, kPasswordForm, 400, "invalid_request"},
      {"two names, one of them escaped", Method::post, "/token", kForm, std::string(kPasswordForm) + "&user%6Eame=root", 400, "invalid_request"},
      {"half in the URL", Method::post, "/token?username=root", kForm, kPasswordForm, 400, "invalid_request"},
      {"all in the URL", Method::post, "/token?" + std::string(kPasswordForm), kForm, "", 400, "invalid_request"},
      {"no type", Method::post, "/token", {}, kPasswordForm, 400, "invalid_request"},
      {"JSON", Method::post, "/token", {{"Content-Type", "application/json"}}, kPasswordForm, 400, "invalid_request"},
      {"two types", Method::post, "/token", two_types, kPasswordForm, 400, "invalid_request"},
      {"a type that begins so", Method::post, "/token", {{"Content-Type", "application/x-www-form-urlencodedx"}}, kPasswordForm, 400, "invalid_request"},
      {"a broken escape in the form", Method::post, "/token", kForm, std::string(kPasswordForm) + "&x=%", 400, "invalid_request"},
      {"a large form", Method::post, "/token", kForm, std::string(kPasswordForm) + "&x=" + padding, 400, "invalid_request"},
      {"an unknown grant", Method::post, "/token", kForm, "grant_type=implicit", 400, "unsupported_grant_type"},
      {"a JWT where no issuer is set up", Method::post, "/token", kForm, "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=eyJ.a.b&subject_token_type=urn:ietf:params:oauth:token-type:jwt", 401, "invalid_grant"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    Exchange& exchange = world.exchange;
    test::Options sent{.headers = row.headers};
    if (!row.body.empty()) sent.body.emplace_back(row.body);
    const Response& response = exchange.send(row.method, row.target, std::move(sent));
    CHECK(response.status == row.status);
    const json answer = world.answer();
    std::string said;
    if (answer.contains("token")) {
      said = world.subject_of(answer["token"]);
    } else if (answer.contains("error")) {
      said = answer["error"];
      // And the registry's own form beside it.
      CHECK(answer["errors"].size() == 1);
      CHECK(answer["error_description"] == answer["errors"][0]["message"]);
    } else {
      said = exchange.code();
    }
    CHECK(said == row.said);
    if (row.status == 200) {
      CHECK(exchange.header("Cache-Control") == "no-store");
      CHECK(exchange.header("Content-Type") == "application/json");
    }
    const bool token_path = row.target.starts_with("/token");
    if (row.status == 401 && token_path) CHECK(exchange.header("WWW-Authenticate") == R"(Basic realm="berth")");
    if (row.status == 200) CHECK(answer.contains("token_type") == (row.method == Method::post));
  }
  // The access token is a good one, and not good for this.
  world.get("/v2/", {{"Authorization", "Bearer " + access}});
  CHECK(world.exchange.response.status == 200);
  world.get("/token", {{"Authorization", "Bearer " + access}});
  CHECK(world.exchange.response.log_detail.find("token_for_token") != std::string::npos);
}

TEST_CASE("a form that is announced too large is not read") {
  World world;
  world.exchange.send(Method::post, "/token", {.headers = kForm, .body = {std::string("x")}, .content_length = 65'537});
  CHECK(world.exchange.response.status == 400);
  CHECK(world.exchange.body_reads == 0);
  std::deque<FakeBody::Piece> pieces;
  for (int i = 0; i < 20; ++i) pieces.emplace_back(std::string(8192, 'x'));
  world.exchange.send(Method::post, "/token", {.headers = kForm, .body = std::move(pieces), .chunked = true});
  CHECK(world.exchange.response.status == 400);
  CHECK(world.exchange.body_reads == 9);
}

TEST_CASE("the forms of all who ask for tokens are bounded together") {
  ServiceOptions options;
  options.form_bodies_bytes_max = 1000;
  World world(auth_options(), options);
  std::string largest = std::string(kPasswordForm) + "&pad=";
  largest.resize(kFormBytesFree + 1000, 'x');
  CHECK(world.post(largest).status == 200);
  CHECK(world.post(largest).status == 200);  // it was given back
  const Response& refused = world.post(largest + "x");
  CHECK(refused.status == 503);
  CHECK(refused.headers.has("Retry-After"));
  CHECK(world.answer().at("error") == "temporarily_unavailable");
}

TEST_CASE("a form of the usual size gets through however much others hold") {
  ServiceOptions options;
  options.form_bodies_bytes_max = 0;
  World world(auth_options(), options);
  CHECK(world.post(kPasswordForm).status == 200);
}

TEST_CASE("docker logs in, pulls and pushes") {
  World world;
  world.get("/v2/");
  CHECK(world.exchange.response.status == 401);
  CHECK(world.exchange.header("WWW-Authenticate") == R"(Bearer realm="https://registry.example/token",service="registry.example")");
  const HeaderList alice = {{"Authorization", basic("alice:r+ght &=%")}};
  world.get("/token?account=alice&client_id=docker&offline_token=true&service=registry.example", alice);
  REQUIRE(world.exchange.response.status == 200);
  const std::string refresh = world.answer()["refresh_token"];
  world.get("/v2/", {{"Authorization", "Bearer " + world.answer()["token"].get<std::string>()}});
  CHECK(world.exchange.response.status == 200);

  const auto pull = [&] {
    world.post("grant_type=refresh_token&service=registry.example&client_id=docker&scope=repository%3Ateam%2Fapp%3Apull&refresh_token=" + refresh);
    return world.exchange.response.status;
  };
  REQUIRE(pull() == 200);
  CHECK(world.answer()["scope"] == "repository:team/app:pull");
  const HeaderList bearer = {{"Authorization", "Bearer " + world.answer()["access_token"].get<std::string>()}};
  world.get("/v2/team/app/tags/list", bearer);
  CHECK(world.exchange.response.status != 401);
  world.get("/v2/team/other/tags/list", bearer);
  CHECK(world.exchange.response.status == 401);
  CHECK(world.exchange.header("WWW-Authenticate").ends_with(R"(scope="repository:team/other:pull",error="insufficient_scope")"));

  // Whoever is disabled has neither token any more.
  world.must(world.identities().update_user(auth::testing::kRoot, "alice", {.enabled = false}));
  CHECK(pull() == 401);
  world.get("/v2/team/app/tags/list", bearer);
  CHECK(world.exchange.response.status == 401);
}

TEST_CASE("who guesses by form waits as who guesses by header") {
  World world;
  unsigned status = 0;
  for (int i = 0; i < 20 && status != 429; ++i) {
    status = world.post("grant_type=password&username=alice&password=guess" + std::to_string(i)).status;
  }
  REQUIRE(status == 429);
  CHECK(world.answer()["error"] == "temporarily_unavailable");
  // It says how long, and that grows.
  int wait = std::stoi(world.exchange.header("Retry-After"));
  for (int round = 0; round < 3; ++round) {
    world.clock.advance(std::chrono::seconds(wait));
    CHECK(world.post("grant_type=password&username=alice&password=again").status == 401);
    REQUIRE(world.post(kPasswordForm).status == 429);
    wait = std::stoi(world.exchange.header("Retry-After"));
  }
  CHECK(wait > 1);
  CHECK(world.exchange.code() == "TOOMANYREQUESTS");
  CHECK(world.post(kPasswordForm).status == 429);
}

TEST_CASE("the local socket needs no token and gets none") {
  World world;
  CHECK(world.exchange.send(Method::get, "/token", {.local = true}).status == 400);
}

TEST_CASE("the keys of tokens are published") {
  World world;
  world.get("/token/keys");
  CHECK(world.exchange.response.status == 200);
  const json keys = world.answer();
  REQUIRE(keys["keys"].size() == 1);
  CHECK_FALSE(keys["keys"][0].contains("d"));
  world.get("/.well-known/jwks.json");
  CHECK(world.answer() == keys);
}

TEST_CASE("where berth makes no tokens there is no endpoint") {
  auth::AuthOptions options = auth_options();
  options.enabled = false;
  World world(options);
  for (const char* path : {"/token", "/token/keys", "/.well-known/jwks.json"}) {
    INFO(path);
    CHECK(world.get(path).status == 404);
  }
  CHECK(world.post(kPasswordForm).status == 404);
}

}  // namespace berth::api
