#include "auth/scope.h"

#include <catch2/catch.hpp>
#include <string>

#include "auth/challenge.h"

namespace berth::auth {
namespace {

std::vector<Scope> parse(std::initializer_list<std::string_view> parameters) {
  std::vector<Scope> scopes;
  for (const std::string_view text : parameters) REQUIRE(parse_scopes(text, scopes));
  return scopes;
}

Scope repository(std::string_view name, ScopeActions actions) {
  return Scope::repository(oci::RepositoryName::parse(name).value(), actions);
}

constexpr ScopeActions kPull{ScopeAction::pull};
constexpr ScopeActions kPullPush{ScopeAction::pull, ScopeAction::push};

}  // namespace

TEST_CASE("scopes are read as clients write them") {
  struct Row {
    const char* name;
    const char* text;
    const char* type;
    const char* scope_name;
    const char* actions;
  };
  const Row rows[] = {
      {"pull", "repository:team/app:pull", "repository", "team/app", "pull"},
      {"push", "repository:team/app:pull,push", "repository", "team/app", "pull,push"},
      {"another order", "repository:a:push,pull", "repository", "a", "pull,push"},
      {"twice", "repository:a:pull,pull", "repository", "a", "pull"},
      {"delete", "repository:a:delete", "repository", "a", "delete"},
      {"everything (skopeo delete)", "repository:a:*", "repository", "a", "*"},
      {"all of them", "repository:a:*,delete,push,pull", "repository", "a", "pull,push,delete,*"},
      {"the catalog", "registry:catalog:*", "registry", "catalog", "*"},
      {"a class", "repository(plugin):a/b:pull", "repository", "a/b", "pull"},
      {"a host with a port", "repository:localhost:5000/a/b:pull", "repository", "localhost:5000/a/b", "pull"},
      {"an unknown action", "repository:a:pull,fly,metadata_read", "repository", "a", "pull"},
      {"only unknown actions", "repository:a:fly", "repository", "a", ""},
      {"no action", "repository:a:", "repository", "a", ""},
      {"empty actions", "repository:a:,,pull,", "repository", "a", "pull"},
      {"upper-case action", "repository:a:PULL", "repository", "a", ""},
      {"berth's own word", "repository:a:overwrite,push", "repository", "a", "push,overwrite"},
      {"an unknown type", "artifact:a:pull", "artifact", "a", "pull"},
      {"a name that no repository has", "repository:A/B:pull", "repository", "A/B", "pull"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto scope = Scope::parse(row.text);
    REQUIRE(scope);
    CHECK(scope->type() == row.type);
    CHECK(scope->name() == row.scope_name);
    CHECK(scope->actions().text() == row.actions);
    CHECK(Scope::parse(scope->text()) == scope);
  }
  CHECK(Scope::parse("repository:team/app:pull")->repository_name()->text() == "team/app");
  for (const char* text : {"repository:A/B:pull", "repository:localhost:5000/a:pull", "registry:catalog:*", "artifact:a:pull"}) {
    CHECK_FALSE(Scope::parse(text)->repository_name());
  }
}

TEST_CASE("what is no scope is passed over") {
  for (const char* text :
       {"", "repository", "repository:", ":", "::", "repository:a", "repository::pull", ":a:pull", "Repository:a:pull",
        "repository():a:pull", "repository(a:b:pull", "repository(P):a:pull", "repository)x(:a:pull", "re-po:a:pull",
        "repository:a\"b:pull", "repository:a\\b:pull", "repository:a,b:pull", "repository:a\tb:pull", "repository:a\r\nb:pull",
        "repository:\xc3\xa9:pull", "repository:a?b:pull", "repository:a=b:pull"}) {
    INFO(text);
    CHECK_FALSE(Scope::parse(text));
  }
  CHECK_FALSE(Scope::parse("repository:" + std::string(385, 'a') + ":pull"));
  CHECK_FALSE(Scope::parse(std::string_view("repository:a\0b:pull", 19)));
  CHECK(parse({"nonsense repository:a:pull  :: repository:b:push "}) ==
        std::vector{repository("a", kPull), repository("b", {ScopeAction::push})});
}

TEST_CASE("repeated parameters and blanks mean the same, and one thing is one scope") {
  const std::vector<Scope> wanted{repository("a", kPullPush), repository("b", kPull)};
  CHECK(parse({"repository:a:pull,push repository:b:pull"}) == wanted);
  CHECK(parse({"repository:a:pull,push", "repository:b:pull"}) == wanted);
  CHECK(parse({"repository:a:pull repository:b:pull", "repository:a:push"}) == wanted);
  CHECK(parse({}).empty());
  CHECK(scopes_text(wanted) == "repository:a:pull,push repository:b:pull");
  CHECK(scopes_text(std::vector{repository("a", {}), repository("b", kPull), repository("c", {})}) == "repository:b:pull");
  CHECK(scopes_text({}).empty());
}

TEST_CASE("the number of scopes is bounded") {
  std::vector<Scope> scopes;
  for (std::size_t i = 0; i < kScopesMax; ++i) REQUIRE(parse_scopes("repository:a" + std::to_string(i) + ":pull", scopes));
  CHECK(parse_scopes("repository:a0:push", scopes));
  CHECK(parse_scopes("repository:b:pull", scopes).failed_with(ErrorCode::request_invalid));
  CHECK(scopes.size() == kScopesMax);
}

TEST_CASE("what is granted is asked for and allowed") {
  struct Row {
    ScopeActions asked;
    ScopeActions allowed;
    ScopeActions granted;
  };
  const ScopeActions all{ScopeAction::all};
  const ScopeActions del{ScopeAction::delete_};
  const ScopeActions overwrite{ScopeAction::overwrite};
  for (const auto& row : {Row{kPullPush, kPull, kPull}, Row{kPull, kPullPush, kPull}, Row{kPull, {}, {}},
                          Row{all, kPullPush, kPullPush}, Row{all, {}, {}}, Row{all | kPull, del, del},
                          Row{kPullPush, all, {}}, Row{kPullPush, kPullPush | overwrite, kPullPush | overwrite},
                          Row{kPull, kPullPush | overwrite, kPull}, Row{all, overwrite, overwrite},
                          Row{overwrite, kPullPush, {}}, Row{all, all, all}, Row{del, kPullPush, {}},
                          Row{{}, kPull, {}}}) {
    INFO(row.asked.text() << " of " << row.allowed.text());
    CHECK(row.asked.granted_of(row.allowed) == row.granted);
  }
}

TEST_CASE("challenges say what clients need, and nothing empty") {
  const auto challenge = BearerChallenge::make("https://registry.example.com:5000/token", "registry.example.com:5000").value();
  struct Row {
    std::vector<Scope> scopes;
    ChallengeError error;
    const char* header;
  };
  const std::string start = R"(Bearer realm="https://registry.example.com:5000/token",service="registry.example.com:5000")";
  const Row rows[] = {
      {{}, ChallengeError::none, ""},
      {{repository("a/b", kPullPush)}, ChallengeError::none, R"(,scope="repository:a/b:pull,push")"},
      {{repository("dst", kPullPush), repository("src", kPull)}, ChallengeError::none, R"(,scope="repository:dst:pull,push repository:src:pull")"},
      {{repository("a", kPull)}, ChallengeError::insufficient_scope, R"(,scope="repository:a:pull",error="insufficient_scope")"},
      {{}, ChallengeError::invalid_token, R"(,error="invalid_token")"},
      {{Scope::catalog()}, ChallengeError::none, R"(,scope="registry:catalog:*")"},
      {{repository("a", {})}, ChallengeError::none, ""},
  };
  for (const auto& row : rows) CHECK(challenge.header(row.scopes, row.error) == start + row.header);
  CHECK(basic_challenge("berth").value() == R"(Basic realm="berth")");
}

TEST_CASE("a challenge is made of checked values only") {
  struct Row {
    const char* realm;
    const char* service;
  };
  const char* good = "https://h/token";
  const Row rows[] = {
      {"", "s"},
      {"/token", "s"},
      {"ftp://h/token", "s"},
      {"HTTPS://h/token", "s"},
      {"https://", "s"},
      {"https:///token", "s"},
      {"https://:443/token", "s"},
      {"https://user@h/token", "s"},
      {"https://h/token?x=1", "s"},
      {"https://h/token#x", "s"},
      {"https://h/to\"ken", "s"},
      {"https://h/to ken", "s"},
      {"https://h/token\r\nSet-Cookie: x", "s"},
      {"https://h/a,b", "s"},
      {"https://h/bearer/token", "s"},
      {"https://Basic.example/token", "s"},
      {good, ""},
      {good, "a b"},
      {good, "a&b"},
      {good, "a\"b"},
      {good, "a\nb"},
      {good, "my-bearer"},
      {good, "a/b"},
  };
  for (const auto& row : rows) {
    INFO(row.realm << " " << row.service);
    CHECK(BearerChallenge::make(row.realm, row.service).failed_with(ErrorCode::request_invalid));
  }
  CHECK(BearerChallenge::make("http://127.0.0.1:5000/token", "127.0.0.1:5000"));
  CHECK(BearerChallenge::make("https://[::1]:5000/token", "berth"));
  CHECK_FALSE(basic_challenge("a\"b"));
  CHECK_FALSE(basic_challenge(""));
}

}  // namespace berth::auth
