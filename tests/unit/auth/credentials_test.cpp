// From headers, certificates and stored ceilings to what access control works with.
#include <catch2/catch.hpp>
#include <string>
#include <variant>
#include <vector>

#include "auth/authorization_header.h"
#include "auth/certificate_identity.h"
#include "auth/policy.h"
#include "auth/stored_access.h"

namespace berth::auth {
namespace {

std::string shown(const std::vector<std::string>& headers) {
  const auto parsed = parse_authorization(headers);
  if (!parsed) return std::string(to_string(parsed.error().code));
  if (const auto* basic = std::get_if<BasicCredential>(&*parsed)) return "basic " + basic->user + '|' + basic->password;
  if (const auto* bearer = std::get_if<BearerCredential>(&*parsed)) return "bearer " + bearer->token;
  return "none";
}

registry::RepositoryPattern pattern(std::string_view text) { return registry::RepositoryPattern::parse(text).value(); }

Ceiling ceiling(const std::vector<std::pair<std::vector<std::string>, Actions>>& scopes) {
  Ceiling out;
  for (const auto& [texts, actions] : scopes) {
    Ceiling::Scope scope{{}, actions};
    for (const std::string& text : texts) scope.repositories.push_back(pattern(text));
    out.scopes.push_back(std::move(scope));
  }
  return out;
}

std::string text(const std::optional<Ceiling>& ceiling) {
  if (!ceiling) return "none";
  std::string out;
  for (const Ceiling::Scope& scope : ceiling->scopes) {
    for (const auto& one : scope.repositories) out += one.text() + ' ';
    out += to_string(scope.actions) + "; ";
  }
  return out;
}

}  // namespace

TEST_CASE("the Authorization header") {
  struct Row {
    std::vector<std::string> headers;
    const char* is;
  };
  const Row rows[] = {
      {{}, "none"},
      {{"Basic Og=="}, "none"},
      {{"Basic YTpi"}, "basic a|b"},
      {{"bAsIc   YTpi"}, "basic a|b"},
      {{"Basic YTo="}, "basic a|"},
      {{"Basic OmI="}, "basic |b"},
      {{"Basic YTpiOmM="}, "basic a|b:c"},
      {{"Bearer abc"}, "bearer abc"},
      {{"BEARER abc"}, "bearer abc"},
      {{""}, "unauthorized"},
      {{"Basic"}, "unauthorized"},
      {{"Basic "}, "unauthorized"},
      {{"Basic YQ=="}, "unauthorized"},  // no colon
      {{"Basic YTpi YTpi"}, "unauthorized"},
      {{"Basic YTp"}, "unauthorized"},
      {{"Basic YT_i"}, "unauthorized"},
      {{"Bearer"}, "unauthorized"},
      {{"Bearer "}, "unauthorized"},
      {{"Bearer a b"}, "unauthorized"},
      {{"Bearer a,b"}, "unauthorized"},
      {{"Bearer\tabc"}, "unauthorized"},
      {{"Digest username=x"}, "unauthorized"},
      {{"BasicYTpi"}, "unauthorized"},
      {{"Basic YTpi", "Basic YTpi"}, "unauthorized"},
      {{"Basic Og==", "Bearer abc"}, "unauthorized"},
  };
  for (const Row& row : rows) {
    INFO((row.headers.empty() ? std::string() : row.headers.front()));
    CHECK(shown(row.headers) == row.is);
  }
}

TEST_CASE("names of certificates match attribute by attribute") {
  struct Row {
    const char* rule;
    const char* subject;
    bool matches;
  };
  const Row rows[] = {
      {"CN=a,O=b", "CN=a,O=b", true},
      {"CN=a,O=b", "CN=a,O=b,C=DE", false},
      {"CN=a,O=b", "O=b,CN=a", false},
      {"CN=*,O=b", "CN=x y,O=b", true},
      {"CN=*,O=b", "CN=x,OU=y,O=b", false},
      {"CN=*,O=b", "CN=x\\,O=b", false},
      {"CN=*,O=b", "CN=\"x,O=b\"", false},
      {"CN=*,O=b", "CN=x\\,O=b,O=b", true},
      {"CN=*,*,O=b", "CN=x,OU=y,L=z,O=b", true},
      {"CN=*,*,O=b", "CN=x,O=b", true},
      {"CN=*,*,O=b", "CN=x,O=c", false},
      {"*", "CN=x,O=b", true},
      {"*", "", true},
      {"*,O=b", "O=b", true},
      {"*,O=b", "CN=x,O=b,O=c", false},
      {"CN=*", "CN=x+OU=y", true},  // one attribute of two values
      {"CN=*", "", false},
      {"CN=x\\", "CN=x\\", true},
  };
  for (const Row& row : rows) {
    INFO(row.rule << " and " << row.subject);
    CHECK(subject_matches(row.rule, row.subject) == row.matches);
  }
}

TEST_CASE("the common name of a certificate") {
  struct Row {
    const char* subject;
    const char* name;
  };
  const Row rows[] = {
      {"CN=alice,O=b", "alice"},       {"O=b,CN=alice", "alice"}, {"O=b", ""},
      {"CN=a,CN=b", ""},               {"OU=y+CN=x,O=b", "x"},    {"CN=a\\,b", "a,b"},
      {"CN=a\\2Cb", "a,b"},            {"CN=\\C3\\A9", "é"},      {"O=b\\,CN=root", ""},
      {"CN=a\\", "a\\"},               {"XCN=a", ""},             {"", ""},
  };
  for (const Row& row : rows) {
    INFO(row.subject);
    CHECK(common_name(row.subject) == row.name);
  }
}

TEST_CASE("who the holder of a certificate is") {
  const std::vector<CertificateRule> rules = {
      {.subject = "CN=*,OU=robots", .identity = "robot:{cn}"},
      {.san = "uri:spiffe://cluster/*", .identity = "certificate:mesh", .groups = {"Mesh", "not a name"}},
      {.subject = "CN=*,OU=people", .san = "email:*@example.com", .identity = "user:{cn}"},
      {.subject = "CN=bad,*", .identity = "group:admins"},
  };
  const auto who = [&rules](ClientCertificate certificate) {
    const auto identity = identity_of(rules, certificate);
    std::string out = identity ? identity->subject : "nobody";
    for (const std::string& group : identity ? identity->groups : std::vector<std::string>{}) out += ' ' + group;
    return out;
  };
  CHECK(who({"CN=CI,OU=robots", {}, {}, {}}) == "robot:ci");
  CHECK(who({"CN=c i,OU=robots", {}, {}, {}}) == "nobody");
  CHECK(who({"OU=robots", {}, {}, {}}) == "nobody");
  CHECK(who({"CN=x", {}, {"spiffe://cluster/a"}, {}}) == "certificate:mesh group:mesh");
  CHECK(who({"CN=x", {"spiffe://cluster/a"}, {}, {}}) == "nobody");  // a DNS name is no URI
  CHECK(who({"CN=alice,OU=people", {}, {}, {"alice@example.com"}}) == "user:alice");
  CHECK(who({"CN=alice,OU=people", {}, {}, {}}) == "nobody");
  CHECK(who({"CN=bad,O=x", {}, {}, {}}) == "nobody");  // nobody is a group
}

TEST_CASE("two ceilings leave what both allow") {
  const Actions pull = {Action::pull}, push = {Action::pull, Action::push};
  struct Row {
    std::optional<Ceiling> a, b;
    const char* both;
  };
  const Row rows[] = {
      {std::nullopt, std::nullopt, "none"},
      {ceiling({{{"team/**"}, pull}}), std::nullopt, "team/** pull; "},
      {ceiling({{{"team/app"}, push}}), ceiling({{{"team/**"}, pull}}), "team/app pull,catalog; "},
      {ceiling({{{"team/app"}, push}}), ceiling({{{"other/**"}, pull}}), ""},
      {ceiling({{{"**"}, push}}), ceiling({{{"a/*", "b"}, push}}), "a/* b pull,push,catalog; "},
      {ceiling({{{"team/*-x"}, pull}}), ceiling({{{"team/a*"}, pull}}), ""},  // they overlap, and neither holds the other
      {ceiling({{{"**"}, {Action::catalog}}}), ceiling({{{"team/**"}, pull}}), "team/** catalog; "},
      {ceiling({{{"**"}, {Action::catalog}}}), ceiling({{{"team/**"}, {Action::push}}}), ""},
      {ceiling({}), ceiling({{{"**"}, push}}), ""},
  };
  for (const Row& row : rows) {
    INFO(text(row.a) << " and " << text(row.b));
    CHECK(text(intersect(row.a, row.b)) == row.both);
    const auto other_way = intersect(row.b, row.a);
    CHECK(text(other_way).size() == std::string(row.both).size());
  }
}

TEST_CASE("stored actions and grants, there and back") {
  for (registry::ActionMask mask = 0; mask <= registry::action::all; ++mask) CHECK(mask_of(actions_of(mask)) == mask);
  CHECK(mask_of({Action::catalog}) == 0);
  registry::StoredGrant stored;
  stored.id = 17;
  stored.content = {.subjects = {"user:alice"}, .repositories = {"team/**"}, .actions = registry::action::push, .tags = {"v*"}};
  const Grant grant = grant_of(stored);
  CHECK(grant.origin == "17");
  CHECK(grant.actions == Actions{Action::push});
  REQUIRE(grant.tags.size() == 1);
  // A tag pattern that cannot be read makes a grant for no tag, and never one for all.
  stored.content.tags = {"no/tag"};
  CHECK(grant_of(stored).repositories.empty());
}

TEST_CASE("what a credential gives by itself counts beside the grants, below the ceiling") {
  std::vector<Grant> grants = {{.subjects = {"user:alice"}, .repositories = {pattern("team/**")}, .actions = {Action::pull}, .origin = "1"}};
  const Policy policy(std::move(grants), {{"pusher", {Action::pull, Action::push}}});
  Principal alice = Principal::authenticated("user:alice", {}, 7, "test");
  alice.rights = ceiling({{{"own/*"}, policy.actions_of_role("pusher")}}).scopes;
  const auto own = oci::RepositoryName::parse("own/app").value(), team = oci::RepositoryName::parse("team/app").value();
  CHECK(policy.actions_of_role("writer").has(Action::overwrite));
  CHECK(policy.actions_of_role("nothing").empty());
  CHECK(policy.decide(alice, Action::push, &own).allowed);
  CHECK(policy.decide(alice, Action::push, &own).reason == "the credential gives it");
  CHECK(policy.explain(alice, Action::push, &own).allowed);
  CHECK_FALSE(policy.decide(alice, Action::delete_, &own).allowed);
  CHECK_FALSE(policy.decide(alice, Action::push, &team).allowed);
  CHECK_FALSE(policy.decide(alice, Action::admin, nullptr).allowed);
  CHECK(policy.granted(alice, own) == Actions{Action::pull, Action::push});
  CHECK(policy.tags(alice, Action::push, own).all);
  CHECK_FALSE(policy.tags(alice, Action::delete_, own).all);
  CHECK(policy.visibility(alice).shows("own/app"));
  CHECK(policy.visibility(alice).shows("team/app"));
  CHECK_FALSE(policy.visibility(alice).shows("other"));
  Principal only = Principal::authenticated("user:bob", {}, 8, "test");
  CHECK_FALSE(policy.decide(only, Action::catalog, nullptr).allowed);
  only.rights = alice.rights;
  CHECK(policy.decide(only, Action::catalog, nullptr).allowed);
  only.ceiling = ceiling({{{"own/app"}, {Action::pull}}});
  CHECK(policy.decide(only, Action::pull, &own).allowed);
  CHECK_FALSE(policy.decide(only, Action::push, &own).allowed);
  CHECK(policy.granted(only, own) == Actions{Action::pull});
  only.rights = ceiling({{{"**"}, Actions::all()}}).scopes;
  only.ceiling.reset();
  CHECK(policy.decide(only, Action::admin, nullptr).allowed);
}

}  // namespace berth::auth
