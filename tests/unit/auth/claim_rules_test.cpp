#include "auth/claim_rules.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "auth/account_name.h"

namespace berth::auth {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

registry::RepositoryPattern pattern(std::string_view text) { return *registry::RepositoryPattern::parse(text); }

const json& kubernetes() {
  static const json claims = json::parse(R"({
    "aud": ["berth"], "exp": 1767229200, "iat": 1767225600, "nbf": 1767225600, "jti": "6b2f",
    "iss": "https://kubernetes.default.svc.cluster.local",
    "kubernetes.io": {"namespace": "prod", "pod": {"name": "web-0", "uid": "1"},
                      "serviceaccount": {"name": "deployer", "uid": "2"}},
    "sub": "system:serviceaccount:prod:deployer"})");
  return claims;
}

const json& github() {
  static const json claims = json::parse(R"({
    "iss": "https://token.actions.githubusercontent.com", "aud": "berth", "jti": "x",
    "sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "ref": "refs/heads/main", "ref_protected": "true",
    "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "repository_owner_id": "65",
    "repository_visibility": "private", "run_attempt": "2", "workflow": "release", "event_name": "push",
    "job_workflow_ref": "octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main",
    "environment": "prod", "actor": "octocat", "exp": 1767229200, "iat": 1767225600, "nbf": 1767225600})");
  return claims;
}

const json& gitlab() {
  static const json claims = json::parse(R"({
    "iss": "https://gitlab.example.com", "aud": "berth", "sub": "project_path:group/sub/app:ref_type:tag:ref:v1.2",
    "namespace_id": "72", "namespace_path": "group/sub", "project_id": "20", "project_path": "group/sub/app",
    "user_login": "Sample-User", "user_access_level": "developer", "ref": "v1.2", "ref_type": "tag",
    "ref_protected": "true", "pipeline_source": "push", "runner_id": 1, "runner_environment": "self-hosted",
    "groups_direct": ["Dev", "group/sub", "ops", ""], "exp": 1767229200, "iat": 1767225600, "nbf": 1767225600})");
  return claims;
}

}  // namespace

TEST_CASE("globs over claims") {
  struct Row {
    const char* pattern;
    const char* text;
    bool matches;
  };
  const Row rows[] = {
      {"a", "a", true},
      {"a", "b", false},
      {"a", "A", false},
      {"a", "ab", false},
      {"ab", "a", false},
      {"*", "", true},
      {"*", "a/b:c", true},
      {"a*", "a", true},
      {"a*", "ba", false},
      {"*a", "ba", true},
      {"*a", "ab", false},
      {"a*c", "abc", true},
      {"a*c", "ac", true},
      {"a*c", "acb", false},
      {"a*b*c", "aXbYc", true},
      {"a*b*c", "acb", false},
      {"a**c", "abc", true},
      {"*ab", "aab", true},
      {"*aab", "aaab", true},
      {"", "", true},
      {"", "a", false},
      {"a?c", "abc", false},
      {"[a]", "a", false},
      {"repo:octo/*:ref:*", "repo:octo/x:ref:y", true},
      {"repo:octo/*", "repo:octopus/x", false},
  };
  for (const auto& row : rows) {
    INFO(row.pattern << " over " << row.text);
    CHECK(glob_matches(row.pattern, row.text) == row.matches);
  }
  std::string stars;
  for (int i = 0; i < 300; ++i) stars += "a*";
  CHECK_FALSE(glob_matches(stars + "b", std::string(16000, 'a')));  // and it takes no time to speak of
}

TEST_CASE("names of accounts") {
  struct Row {
    const char* text;
    const char* name;  // null: none
  };
  const Row rows[] = {
      {"alice", "alice"},    {"Alice", "alice"}, {"a", "a"},       {"a.b_c@d-e", "a.b_c@d-e"}, {"", nullptr},
      {".a", nullptr},       {"a-", nullptr},    {"a b", nullptr}, {"a:b", nullptr},           {"a/b", nullptr},
      {"\xc3\xa4", nullptr}, {"*", nullptr}};
  for (const auto& row : rows) {
    INFO(row.text);
    const auto name = account_name(row.text);
    CHECK(name.has_value() == (row.name != nullptr));
    if (name && row.name) CHECK(*name == row.name);
  }
  CHECK(account_name(std::string(64, 'a')));
  CHECK_FALSE(account_name(std::string(65, 'a')));
  CHECK_FALSE(account_name(std::string_view("a\0b", 3)));
}

TEST_CASE("which rule matches which token") {
  struct Row {
    const char* name;
    const json* token;
    std::map<std::string, Strings> claims;
    bool matches;
  };
  const Row rows[] = {
      {"kubernetes: a namespace by sub", &kubernetes(), {{"sub", {"system:serviceaccount:prod:*"}}}, true},
      {"kubernetes: another namespace", &kubernetes(), {{"sub", {"system:serviceaccount:test:*"}}}, false},
      {"kubernetes: a longer namespace", &kubernetes(), {{"sub", {"system:serviceaccount:pro:*"}}}, false},
      {"kubernetes: by pointer", &kubernetes(), {{"/kubernetes.io/serviceaccount/name", {"deployer"}}}, true},
      {"kubernetes: pointer to an object", &kubernetes(), {{"/kubernetes.io", {"*"}}}, false},
      {"kubernetes: pointer into a text", &kubernetes(), {{"/sub/x", {"*"}}}, false},
      {"kubernetes: a name with a dot is one name", &kubernetes(), {{"kubernetes.io", {"*"}}}, false},
      {"kubernetes: aud is a list", &kubernetes(), {{"aud", {"berth"}}}, true},
      {"github: repository and branch",
       &github(),
       {{"repository", {"octo-org/*"}}, {"ref", {"refs/heads/main"}}},
       true},
      {"github: one of two does not match",
       &github(),
       {{"repository", {"octo-org/*"}}, {"ref", {"refs/tags/*"}}},
       false},
      {"github: one of two is missing", &github(), {{"repository", {"octo-org/*"}}, {"enterprise", {"*"}}}, false},
      {"github: alternatives", &github(), {{"ref", {"refs/tags/*", "refs/heads/main"}}}, true},
      {"github: somebody else's repository", &github(), {{"repository", {"octo/*"}}}, false},
      {"github: case counts", &github(), {{"repository_owner", {"Octo-Org"}}}, false},
      {"gitlab: protected tags",
       &gitlab(),
       {{"project_path", {"group/*"}}, {"ref_type", {"tag"}}, {"ref_protected", {"true"}}},
       true},
      {"gitlab: a number", &gitlab(), {{"runner_id", {"1"}}}, true},
      {"gitlab: a list", &gitlab(), {{"groups_direct", {"ops"}}}, true},
      {"gitlab: not in the list", &gitlab(), {{"groups_direct", {"op"}}}, false},
      {"gitlab: an element by pointer is not reached", &gitlab(), {{"/groups_direct/0", {"*"}}}, false},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    ClaimRule rule{.claims = row.claims};
    CHECK(check_rule(rule, "one"));
    const auto identity = apply_rules({rule}, "one", *row.token);
    CHECK(identity.has_value() == row.matches);
    if (identity) CHECK(identity->subject == "federated:one:" + row.token->at("sub").get<std::string>());
    if (!identity) CHECK(identity.failed_with(ErrorCode::unauthorized));
  }
}

TEST_CASE("what matching rules give") {
  const FederatedRole reader{.role = "reader", .repositories = {pattern("**")}};
  const FederatedRole writer{.role = "writer", .repositories = {pattern("group/**")}};
  const std::vector<ClaimRule> rules = {
      {.claims = {{"ref_type", {"branch"}}},
       .groups = {"never"},
       .roles = {{.role = "admin", .repositories = {pattern("**")}}}},
      {.claims = {{"project_path", {"group/*"}}},
       .groups = {"dev", "by-{user_access_level}"},
       .roles = {writer, reader}},
      {.claims = {{"ref_protected", {"true"}}},
       .subject = "robot:{user_login}",
       .groups = {"{groups_direct}", "x{gone}", "dev"},
       .roles = {reader}},
      {.claims = {{"sub", {"*"}}}, .subject = "federated:lab:{project_path}"},
  };
  for (const auto& rule : rules) CHECK(check_rule(rule, "lab"));
  const auto identity = apply_rules(rules, "lab", gitlab());
  REQUIRE(identity);
  CHECK(identity->issuer == "lab");
  CHECK(identity->sub == "project_path:group/sub/app:ref_type:tag:ref:v1.2");
  CHECK(identity->subject == "robot:sample-user");
  CHECK(identity->groups == Strings{"by-developer", "dev", "ops"});  // "group/sub" and "" are no names
  CHECK(identity->roles == std::vector{reader, writer});
  CHECK(identity->rules == std::vector<std::size_t>{1, 2, 3});
  CHECK(apply_rules({}, "lab", gitlab()).failed_with(ErrorCode::unauthorized));
}

TEST_CASE("subjects made of claims") {
  struct Row {
    const char* name;
    const char* subject;
    json extra;
    const char* expected;  // null: the rule does not match
  };
  const Row rows[] = {
      {"a user", "user:{who}", {{"who", "Alice"}}, "user:alice"},
      {"a claim cannot bring another kind", "user:{who}", {{"who", "x:admin"}}, nullptr},
      {"a list is no name", "user:{who}", {{"who", {"alice"}}}, nullptr},
      {"an empty claim", "user:a{who}", {{"who", ""}}, nullptr},
      {"a missing claim", "user:{who}", json::object(), nullptr},
      {"a number", "robot:runner-{who}", {{"who", 7}}, "robot:runner-7"},
      {"deeper", "federated:one:{/a/b~1c}", {{"a", {{"b/c", "deep"}}}}, "federated:one:deep"},
      {"two", "federated:one:{a}@{b}", {{"a", "1"}, {"b", "2"}}, "federated:one:1@2"},
      {"braces in a claim stay", "federated:one:{a}", {{"a", "{sub}"}}, "federated:one:{sub}"},
      {"control characters", "federated:one:{a}", {{"a", "x\ny"}}, nullptr},
      {"too long", "federated:one:{a}", {{"a", std::string(513, 'a')}}, nullptr},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    json claims = row.extra;
    claims["sub"] = "me";
    const ClaimRule rule{.claims = {{"sub", {"me"}}}, .subject = row.subject};
    CHECK(check_rule(rule, "one"));
    const auto identity = apply_rules({rule}, "one", claims);
    CHECK(identity.has_value() == (row.expected != nullptr));
    if (identity && row.expected) CHECK(identity->subject == row.expected);
  }
}

TEST_CASE("a token without a decent sub is nobody's") {
  const ClaimRule rule{.claims = {{"a", {"b"}}}};
  for (const auto& sub : {json(), json(7), json(""), json("a\nb"), json(std::string(600, 'a')), json::array({"a"})}) {
    INFO(sub.dump().substr(0, 40));
    CHECK(apply_rules({rule}, "one", {{"a", "b"}, {"sub", sub}}).failed_with(ErrorCode::unauthorized));
  }
  CHECK(apply_rules({rule}, "one", {{"a", "b"}}).failed_with(ErrorCode::unauthorized));
  CHECK(apply_rules({rule}, "one", {{"a", "b"}, {"sub", "c"}}));
  json many = {{"a", "b"}, {"sub", "c"}, {"groups", json::array()}};
  for (int i = 0; i < 201; ++i) many["groups"].push_back("g" + std::to_string(i));
  ClaimRule all = rule;
  all.groups = {"{groups}"};
  CHECK(apply_rules({all}, "one", many).failed_with(ErrorCode::unauthorized));
  many["groups"].erase(0);
  CHECK(apply_rules({all}, "one", many)->groups.size() == 200);
}

TEST_CASE("rules that are refused") {
  struct Row {
    const char* name;
    ClaimRule rule;
  };
  const std::map<std::string, Strings> good = {{"sub", {"a*"}}};
  const Row rows[] = {
      {"no claims", {}},
      {"a claim without name", {.claims = {{"", {"a"}}}}},
      {"a claim without patterns", {.claims = {{"sub", {}}}}},
      {"an empty pattern", {.claims = {{"sub", {""}}}}},
      {"a pattern too long", {.claims = {{"sub", {std::string(1025, 'a')}}}}},
      {"a pointer with a bad escape", {.claims = {{"/a~2", {"a"}}}}},
      {"a subject of another kind", {.claims = good, .subject = "group:admins"}},
      {"anonymous", {.claims = good, .subject = "anonymous"}},
      {"the kind out of a claim", {.claims = good, .subject = "{kind}:x"}},
      {"another issuer's subject", {.claims = good, .subject = "federated:two:x"}},
      {"a subject that names nobody", {.claims = good, .subject = "user:"}},
      {"a subject that is no name", {.claims = good, .subject = "user:a b"}},
      {"a brace that stays open", {.claims = good, .subject = "user:{a"}},
      {"a brace that was never open", {.claims = good, .subject = "federated:one:a}"}},
      {"an empty claim in a subject", {.claims = good, .subject = "user:{}"}},
      {"an empty group", {.claims = good, .groups = {""}}},
      {"a group that is no name", {.claims = good, .groups = {"a b"}}},
      {"a group with a brace alone", {.claims = good, .groups = {"a{b"}}},
      {"a role that is no name", {.claims = good, .roles = {{.role = "", .repositories = {pattern("**")}}}}},
      {"a role for nothing", {.claims = good, .roles = {{.role = "reader", .repositories = {}}}}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(check_rule(row.rule, "one").failed_with(ErrorCode::request_invalid));
  }
  CHECK(check_rule({.claims = good}, "one"));
}

}  // namespace berth::auth
