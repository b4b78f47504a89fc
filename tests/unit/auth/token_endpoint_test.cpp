#include "auth/token_endpoint.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "auth/secrets.h"
#include "tests/unit/auth/token_world.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::Form;
using testing::reason;
using testing::TokenWorld;

constexpr const char* kExchange = "urn:ietf:params:oauth:grant-type:token-exchange";
constexpr const char* kJwt = "urn:ietf:params:oauth:token-type:jwt";

/// What the token of an answer is good for: "SUBJECT ACCESS".
std::string said(TokenWorld& world, const Result<TokenAnswer>& answer) {
  if (!answer) return std::string(to_string(answer.error().code)) + " " + answer.error().log_detail;
  const auto read = world.verify(answer->access.token);
  if (!read) return "a bad token: " + read.error().log_detail;
  std::string text = (*read)->subject;
  for (const Scope& scope : (*read)->access) text += " " + scope.text();
  return text;
}

Form with(Form form, const Form& more) {
  form.insert(form.end(), more.begin(), more.end());
  return form;
}
const Form kPassword = {{"grant_type", "password"}, {"username", "alice"}, {"password", "right"}};
const Form kToExchange = {{"grant_type", kExchange}, {"subject_token", "a.good.jwt"}, {"subject_token_type", kJwt}};

}  // namespace

TEST_CASE("a token by GET") {
  struct Row {
    const char* name;
    bool alice;  ///< shows a good credential in the headers
    Form query;
    const char* said;
  };
  const std::string many_scopes = [] {
    std::string text;
    for (std::size_t i = 0; i <= kScopesMax; ++i) text += "repository:r" + std::to_string(i) + ":pull ";
    return text;
  }();
  const std::vector<Row> rows = {
      {"nobody wants nothing", false, {}, "anonymous"},
      {"login", true, {{"account", "alice"}, {"client_id", "docker"}, {"offline_token", "true"}, {"service", "registry.example"}}, "user:alice"},
      {"nobody, public", false, {{"scope", "repository:public/x:pull"}}, "anonymous repository:public/x:pull"},
      {"nobody, private", false, {{"scope", "repository:team/app:pull"}}, "anonymous repository:team/app:"},
      {"nobody, push to public", false, {{"scope", "repository:public/x:pull,push"}}, "anonymous repository:public/x:pull"},
      {"alice", true, {{"scope", "repository:team/app:pull,push"}}, "user:alice repository:team/app:pull,push,overwrite"},
      {"alice everything", true, {{"scope", "repository:team/app:*"}}, "user:alice repository:team/app:pull,push,overwrite"},
      {"alice may not delete", true, {{"scope", "repository:team/app:delete"}}, "user:alice repository:team/app:"},
      {"a part is refused", true, {{"scope", "repository:other:pull repository:team/app:pull"}}, "user:alice repository:other: repository:team/app:pull"},
      {"repeated", true, {{"scope", "repository:team/app:pull,push"}, {"scope", "repository:team/base:pull"}}, "user:alice repository:team/app:pull,push,overwrite repository:team/base:pull"},
      {"blanks", true, {{"scope", "repository:team/app:push repository:team/base:pull"}}, "user:alice repository:team/app:push,overwrite repository:team/base:pull"},
      {"the catalog, as nobody in particular", true, {{"scope", "registry:other:*"}}, "user:alice registry:other:"},
      {"another service", true, {{"service", "other.example"}}, "request_invalid invalid_target"},
      {"another case of it", true, {{"service", "Registry.example"}}, "request_invalid invalid_target"},
      {"no service", true, {{"service", ""}}, "user:alice"},
      {"another audience", true, {{"audience", "other.example"}}, "request_invalid invalid_target"},
      {"service twice", true, {{"service", "registry.example"}, {"service", "registry.example"}}, "request_invalid invalid_request"},
      {"client twice", false, {{"client_id", "a"}, {"client_id", "b"}}, "request_invalid invalid_request"},
      {"account twice", true, {{"account", "alice"}, {"account", "root"}}, "request_invalid invalid_request"},
      {"what nobody knows", false, {{"x", "1"}, {"x", "2"}, {"Scope", "repository:team/app:pull"}}, "anonymous"},
      {"another account than the credential's", true, {{"account", "root"}, {"scope", "repository:other:*"}}, "user:alice repository:other:"},
      {"a client with a line end", false, {{"client_id", "a\nb"}}, "request_invalid invalid_request"},
      {"a long client", false, {{"client_id", std::string(256, 'c')}}, "request_invalid invalid_request"},
      {"too many scopes", false, {{"scope", many_scopes}}, "request_invalid invalid_scope"},
      // Credentials in the URL are refused, never taken for none.
      {"password in the URL", false, {{"username", "alice"}, {"password", "right"}}, "request_invalid invalid_request"},
      {"grant in the URL", false, {{"grant_type", "password"}}, "request_invalid invalid_request"},
      {"refresh token in the URL", false, {{"refresh_token", "x"}}, "request_invalid invalid_request"},
      {"JWT in the URL", false, {{"subject_token", "a.good.jwt"}}, "request_invalid invalid_request"},
      // Scopes that try to be more.
      {"a pattern", true, {{"scope", "repository:team/**:pull"}}, "user:alice"},
      {"everything", true, {{"scope", "repository:**:*"}}, "user:alice"},
      {"admin", true, {{"scope", "repository:team/app:admin"}}, "user:alice repository:team/app:"},
      {"out of the quotes", true, {{"scope", R"(repository:team/app:pull"],"sub":"root","x":["push)"}}, "user:alice"},
      {"a name with quotes", true, {{"scope", R"(repository:a","actions":["*"]:pull)"}}, "user:alice"},
      {"line ends part nothing", true, {{"scope", "repository:other:pull\nrepository:team/app:pull"}}, "user:alice"},
      {"dots", true, {{"scope", "repository:team/../other:pull"}}, "user:alice repository:team/../other:"},
      {"escaped once more", true, {{"scope", "repository:team%2Fapp:pull"}}, "user:alice"},
      {"upper case", true, {{"scope", "repository:Team/App:pull"}}, "user:alice repository:Team/App:"},
  };
  TokenWorld world;
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(said(world, world.get(row.query, row.alice ? TokenWorld::alice() : Principal())) == row.said);
  }
  CHECK(world.logins.password_checks == 0);
}

TEST_CASE("a token by POST, with one credential and no more") {
  struct Row {
    const char* name;
    Form form;
    const char* said;
    bool in_header = false;
  };
  const std::vector<Row> rows = {
      {"password", kPassword, "user:alice"},
      {"scope", with(kPassword, {{"scope", "repository:team/app:pull"}}), "user:alice repository:team/app:pull"},
      {"scope twice", with(kPassword, {{"scope", "repository:team/app:pull"}, {"scope", "repository:x:pull"}}), "user:alice repository:team/app:pull repository:x:"},
      {"wrong password", {{"grant_type", "password"}, {"username", "alice"}, {"password", "wrong"}}, "unauthorized password_wrong"},
      {"wrong password for what is public", {{"grant_type", "password"}, {"username", "alice"}, {"password", "wrong"}, {"scope", "repository:public/x:pull"}}, "unauthorized password_wrong"},
      {"no password", {{"grant_type", "password"}, {"username", "alice"}}, "request_invalid invalid_request"},
      {"empty password", {{"grant_type", "password"}, {"username", "alice"}, {"password", ""}}, "request_invalid invalid_request"},
      {"no name", {{"grant_type", "password"}, {"password", "right"}}, "request_invalid invalid_request"},
      {"no grant", {{"scope", "repository:public/x:pull"}}, "request_invalid invalid_request"},
      {"nothing", {}, "request_invalid invalid_request"},
      {"an unknown grant", {{"grant_type", "client_credentials"}}, "request_invalid unsupported_grant_type"},
      {"another case of a grant", {{"grant_type", "Password"}, {"username", "alice"}, {"password", "right"}}, "request_invalid unsupported_grant_type"},
      {"another service", with(kPassword, {{"service", "other.example"}}), "request_invalid invalid_target"},
      // More than one credential: who checks the first and who checks the last would see two people.
      {"in the header too", kPassword, "request_invalid invalid_request", true},
      {"an exchange, and one in the header", kToExchange, "request_invalid invalid_request", true},
      {"grant twice", with(kPassword, {{"grant_type", "password"}}), "request_invalid invalid_request"},
      {"name twice", with(kPassword, {{"username", "root"}}), "request_invalid invalid_request"},
      {"password twice", with(kPassword, {{"password", "right"}}), "request_invalid invalid_request"},
      {"password, and an empty one", with(kPassword, {{"password", ""}}), "request_invalid invalid_request"},
      {"password and refresh token", with(kPassword, {{"refresh_token", "x"}}), "request_invalid invalid_request"},
      {"password and JWT", with(kPassword, {{"subject_token", "a.good.jwt"}}), "request_invalid invalid_request"},
      {"JWT and password", with(kToExchange, {{"password", "right"}}), "request_invalid invalid_request"},
      {"JWT and a name", with(kToExchange, {{"username", "root"}}), "request_invalid invalid_request"},
      {"refresh token and a name", {{"grant_type", "refresh_token"}, {"refresh_token", "x"}, {"username", "root"}}, "request_invalid invalid_request"},
      // Refresh tokens.
      {"no refresh token", {{"grant_type", "refresh_token"}}, "request_invalid invalid_request"},
      {"one of nobody", {{"grant_type", "refresh_token"}, {"refresh_token", "x"}}, "unauthorized no_refresh_token"},
      // Exchange.
      {"JWT", with(kToExchange, {{"scope", "repository:ci/x:pull,push repository:team/app:pull"}}), "federated:ci:job repository:ci/x:pull,push repository:team/app:"},
      {"JWT for this service", with(kToExchange, {{"audience", "registry.example"}}), "federated:ci:job"},
      {"JWT for another service", with(kToExchange, {{"audience", "other.example"}}), "request_invalid invalid_target"},
      {"JWT for an access token", with(kToExchange, {{"requested_token_type", "urn:ietf:params:oauth:token-type:access_token"}}), "federated:ci:job"},
      {"JWT for a refresh token", with(kToExchange, {{"requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}}), "request_invalid invalid_request"},
      {"JWT with an actor", with(kToExchange, {{"actor_token", "x"}}), "request_invalid invalid_request"},
      {"no JWT", {{"grant_type", kExchange}, {"subject_token_type", kJwt}}, "request_invalid invalid_request"},
      {"a JWT of no type", {{"grant_type", kExchange}, {"subject_token", "a.good.jwt"}}, "request_invalid invalid_request"},
      {"something else", {{"grant_type", kExchange}, {"subject_token", "a.good.jwt"}, {"subject_token_type", "urn:ietf:params:oauth:token-type:saml2"}}, "request_invalid invalid_request"},
      {"a bad JWT", {{"grant_type", kExchange}, {"subject_token", "a.bad.jwt"}, {"subject_token_type", kJwt}}, "unauthorized jwt"},
      {"a password in place of a JWT", {{"grant_type", kExchange}, {"subject_token", "right"}, {"subject_token_type", kJwt}}, "unauthorized jwt"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    TokenWorld world;
    const auto answer = world.ask({.post = true,
                                   .parameters = row.form,
                                   .in_header = row.in_header,
                                   .peer = "10.0.0.1",
                                   .origin = world.origin});
    CHECK(said(world, answer) == row.said);
    // What is malformed reaches nobody who could count it as a failed login, or try it elsewhere.
    if (std::string_view(row.said).starts_with("request_invalid")) {
      CHECK(world.logins.password_checks + world.logins.jwt_checks == 0);
    }
    if (world.logins.password_checks == 1) CHECK(world.logins.last_peer == "10.0.0.1");
    if (row.form == kToExchange) CHECK(world.logins.password_checks == 0);
  }
}

TEST_CASE("a token does not outlive the one that it was exchanged for") {
  struct Row {
    std::chrono::seconds left;  ///< to the JWT
    std::chrono::seconds lifetime;
  };
  for (const Row& row : {Row{3600s, 300s}, Row{300s, 300s}, Row{90s, 90s}, Row{5s, 5s}, Row{-30s, 1s}}) {
    INFO(row.left.count());
    TokenWorld world;
    world.logins.jwt_until = world.clock.wall() + row.left;
    const auto answer = world.ask({.post = true, .parameters = kToExchange, .origin = world.origin});
    REQUIRE(answer);
    CHECK(answer->access.expires_in == row.lifetime);
    const auto token = world.verify(answer->access.token);
    REQUIRE(token);
    CHECK((*token)->claims.expires == std::chrono::floor<std::chrono::seconds>(world.clock.wall()) + row.lifetime);
  }
}

TEST_CASE("whose token asked does not show in the caller of a POST") {
  TokenWorld world;
  // A client certificate says alice, the form says nobody good.
  const auto answer = world.ask({.post = true,
                                 .parameters = {{"grant_type", "password"}, {"username", "alice"}, {"password", "wrong"}},
                                 .caller = TokenWorld::alice(),
                                 .origin = world.origin});
  CHECK(said(world, answer) == "unauthorized password_wrong");
}

TEST_CASE("who gets a refresh token") {
  TokenWorld world;
  const Form offline = {{"offline_token", "true"}};
  const auto given = [](const Result<TokenAnswer>& answer) {
    REQUIRE(answer);
    return !answer->refresh_token.empty();
  };
  CHECK(given(world.get(offline, TokenWorld::alice())));
  CHECK(given(world.get({{"access_type", "offline"}}, TokenWorld::alice())));
  CHECK(given(world.post(with(kPassword, {{"access_type", "offline"}}))));
  CHECK_FALSE(given(world.get({}, TokenWorld::alice())));
  CHECK_FALSE(given(world.get({{"offline_token", "false"}}, TokenWorld::alice())));
  CHECK_FALSE(given(world.get(offline)));
  CHECK_FALSE(given(world.post(with(kToExchange, offline))));
  Principal robot = Principal::authenticated("robot:ci", {}, 11, "robot secret");
  CHECK_FALSE(given(world.get(offline, robot)));

  TokenWorld without({.refresh_lifetime = 0h});
  CHECK_FALSE(given(without.get(offline, TokenWorld::alice())));
}

TEST_CASE("docker logs in once and comes back with its refresh token") {
  TokenWorld world;
  const std::string refresh = world.refresh_token();
  const auto come_back = [&](const Form& more = {}) {
    return world.post(with({{"grant_type", "refresh_token"},
                            {"refresh_token", refresh},
                            {"service", "registry.example"},
                            {"client_id", "buildkit-client"},
                            {"scope", "repository:team/app:pull,push"}},
                           more));
  };
  CHECK(said(world, come_back()) == "user:alice repository:team/app:pull,push,overwrite");
  const auto again = come_back({{"access_type", "offline"}});
  REQUIRE(again);
  CHECK(again->refresh_token.empty());
  CHECK((*world.verify(again->access.token))->method == kRefreshMethod);

  const std::string access = again->access.token;
  CHECK(said(world, world.post({{"grant_type", "refresh_token"}, {"refresh_token", access}})) == "unauthorized no_refresh_token");
  CHECK(reason(world.verify(refresh)) == "not_three_parts");

  SECTION("whoever is disabled does not come back") {
    world.must(world.identities().update_user(testing::kRoot, "alice", {.enabled = false}));
    CHECK(said(world, come_back()) == "unauthorized subject_gone");
  }
  SECTION("nor who chose another password") {
    world.must(world.identities().update_user(testing::kRoot, "alice", {.password_hash = decoy_hash()}));
    CHECK(said(world, come_back()) == "unauthorized refresh_token_unknown");
  }
  SECTION("nor at another name of the registry") {
    TokenWorld open({}, "");
    open.origin.host = "one.example";
    const std::string of_one = open.refresh_token();
    open.origin.host = "other.example";
    CHECK(said(open, open.post({{"grant_type", "refresh_token"}, {"refresh_token", of_one}})) ==
          "unauthorized refresh_token_of_another_service");
  }
}

TEST_CASE("a token says no more than its credential") {
  TokenWorld world;
  Principal limited = TokenWorld::alice();
  limited.ceiling = Ceiling{
      .scopes = {{.repositories = {registry::RepositoryPattern::parse("team/**").value()}, .actions = {Action::pull}}}};
  limited.testimony = {.groups = {"group:dev"}, .roles = {}, .credential = "p7"};
  const auto answer = world.get({{"scope", "repository:team/app:*"}}, limited);
  CHECK(said(world, answer) == "user:alice repository:team/app:pull");
  CHECK((*world.verify(answer->access.token))->testimony == limited.testimony);
}

TEST_CASE("what the answer holds") {
  TokenWorld world;
  const auto answer = world.get({{"scope", "repository:team/app:pull,push repository:x:pull"}, {"offline_token", "true"}}, TokenWorld::alice());
  REQUIRE(answer);
  CHECK(answer->subject == "user:alice");
  CHECK(answer->method == "password");
  const json by_get = json::parse(token_answer_json(*answer, false));
  CHECK(by_get == json({{"token", answer->access.token},
                        {"access_token", answer->access.token},
                        {"expires_in", 300},
                        {"issued_at", "2026-01-01T00:00:00.000Z"},
                        {"scope", "repository:team/app:pull,push"},
                        {"refresh_token", answer->refresh_token}}));
  json by_post = by_get;
  by_post["token_type"] = "Bearer";
  by_post["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token";
  CHECK(json::parse(token_answer_json(*answer, true)) == by_post);
  CHECK_FALSE(json::parse(token_answer_json(*world.get({}), false)).contains("refresh_token"));
}

}  // namespace berth::auth
