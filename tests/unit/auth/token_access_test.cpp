#include "auth/token_access.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "tests/support/seeded_entropy.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kNow{1'767'225'600s};

Grant grant(const char* subject, const char* repositories, Actions actions) {
  return {.subjects = {subject}, .repositories = {registry::RepositoryPattern::parse(repositories).value()}, .actions = actions};
}

Policy policy() {
  std::vector<Grant> grants;
  grants.push_back(grant("user:alice", "team/**", {Action::pull, Action::push, Action::overwrite}));
  grants.push_back(grant("user:alice", "shared/**", {Action::pull, Action::push}));
  grants.push_back(grant("user:root", "**", Actions::all()));
  return Policy(std::move(grants));
}

Principal user(const char* subject) { return Principal::authenticated(subject, {}, 7, "test"); }

std::string granted(const Principal& principal, const char* wanted) {
  const Policy rules = policy();
  return granted_by(rules, principal)(Scope::parse(wanted).value()).text();
}

oci::RepositoryName name(const char* text) { return oci::RepositoryName::parse(text).value(); }

}  // namespace

TEST_CASE("a token may hold what grants and ceiling allow") {
  CHECK(granted(user("user:alice"), "repository:team/app:*") == "pull,push,overwrite");
  CHECK(granted(user("user:alice"), "repository:shared/app:*") == "pull,push");
  CHECK(granted(user("user:alice"), "repository:other:*").empty());
  CHECK(granted(user("user:alice"), "repository:Team/App:*").empty());
  CHECK(granted(user("user:alice"), "artifact:team/app:*").empty());
  CHECK(granted(user("user:root"), "repository:team/app:*") == "pull,push,overwrite,delete");
  CHECK(granted(user("user:root"), "registry:catalog:*") == "*");
  CHECK(granted(user("user:nobody"), "registry:catalog:*").empty());
  CHECK(granted(user("user:root"), "registry:other:*").empty());
  Principal limited = user("user:root");
  limited.ceiling = Ceiling{.scopes = {{.repositories = {registry::RepositoryPattern::parse("team/**").value()}, .actions = {Action::pull}}}};
  CHECK(granted(limited, "repository:team/app:*") == "pull");
  CHECK(granted(limited, "repository:other:*").empty());
}

TEST_CASE("a token's access is a ceiling") {
  struct Row {
    const char* name;
    const char* access;
    TokenSource source;
    const char* team_app;  ///< what it allows there
  };
  const Row rows[] = {
      {"pull", "repository:team/app:pull", TokenSource::own, "pull"},
      {"push without overwrite", "repository:team/app:push", TokenSource::own, "push"},
      {"push of others is both", "repository:team/app:push", TokenSource::outside, "push,overwrite"},
      {"pull of others is pull", "repository:team/app:pull", TokenSource::outside, "pull"},
      {"push is not delete", "repository:team/app:pull,push", TokenSource::outside, "pull,push,overwrite"},
      {"everything but administration", "repository:team/app:*", TokenSource::outside, "pull,push,overwrite,delete"},
      {"asked and refused", "repository:team/app:", TokenSource::own, ""},
      {"another repository", "repository:team/app2:pull", TokenSource::own, ""},
      {"below it", "repository:team/app/x:pull", TokenSource::own, ""},
      {"another type", "artifact:team/app:pull", TokenSource::own, ""},
      {"the catalog lets nobody pull", "registry:catalog:*", TokenSource::own, ""},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const std::vector<Scope> access{Scope::parse(row.access).value()};
    const Ceiling ceiling = ceiling_of(access, row.source);
    const auto app = name("team/app");
    Actions allowed;
    for (const Action action : {Action::pull, Action::push, Action::overwrite, Action::delete_, Action::admin}) {
      if (ceiling.allows(action, &app)) allowed |= {action};
    }
    CHECK(to_string(allowed) == row.team_app);
  }
  const std::vector<Scope> catalog{Scope::catalog()};
  CHECK(ceiling_of(catalog, TokenSource::own).allows(Action::catalog, nullptr));
  CHECK_FALSE(ceiling_of({}, TokenSource::own).allows(Action::catalog, nullptr));
}

TEST_CASE("a token from a limited credential is as limited") {
  // A personal token of somebody who may overwrite, made for pushing new tags only.
  const Policy rules = policy();
  Principal limited = user("user:alice");
  limited.ceiling = Ceiling{.scopes = {{.repositories = {registry::RepositoryPattern::everything()}, .actions = {Action::pull, Action::push}}}};
  const KeyRing keys({{SigningKey::generate(Algorithm::eddsa).value(), kNow}}, {});
  test::SeededEntropy entropy(1);
  const TokenOptions options{.issuer = "i", .lifetime = 300s};
  const auto through_token = [&](const Principal& principal) {
    const TokenRequest request{.subject = principal.subject, .audience = "a", .scopes = {Scope::parse("repository:team/app:pull,push").value()}};
    const auto made = issue_token(options, keys, request, granted_by(rules, principal), kNow, entropy).value();
    CHECK(made.scope == "repository:team/app:pull,push");
    TokenVerifier tokens({.issuer = "i"});
    const auto find_key = [&keys](std::string_view id) { return keys.find(id, kNow); };
    Principal read = user("user:alice");
    read.ceiling = ceiling_of(tokens.verify(made.token, "a", find_key, kNow).value()->access, TokenSource::own);
    return to_string(rules.granted(read, name("team/app")));
  };
  CHECK(through_token(limited) == "pull,push");
  CHECK(through_token(user("user:alice")) == "pull,push,overwrite");
}

}  // namespace berth::auth
