#include "auth/token_issuer.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/base64.h"
#include "tests/support/seeded_entropy.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr WallTime kNow{1'767'225'600s};
constexpr ScopeActions kPull{ScopeAction::pull};
constexpr ScopeActions kPullPush{ScopeAction::pull, ScopeAction::push};

Scope scope(std::string_view text) { return Scope::parse(text).value(); }
registry::RepositoryPattern pattern(std::string_view text) { return registry::RepositoryPattern::parse(text).value(); }

KeyRing ring(WallTime active_from = kNow - 24h) {
  return KeyRing({{SigningKey::generate(Algorithm::es256).value(), active_from}}, {});
}

TokenOptions issuer() { return {.issuer = "https://registry.example", .lifetime = 300s}; }

/// A verifier of one service.
class Reader {
 public:
  struct Options {
    std::string issuer = "https://registry.example";
    std::string audience = "registry.example";
    std::size_t kept_max = 4096;
    TokenSource source = TokenSource::own;
  };
  explicit Reader(const Options& options)
      : tokens_({.issuer = options.issuer, .source = options.source, .kept_max = options.kept_max}),
        audience_(options.audience) {}
  Result<std::shared_ptr<const VerifiedToken>> verify(const std::string& token, const KeyRing& keys, WallTime now) {
    return verify_for(audience_, token, keys, now);
  }
  Result<std::shared_ptr<const VerifiedToken>> verify_for(const std::string& audience, const std::string& token,
                                                          const KeyRing& keys, WallTime now) {
    return tokens_.verify(token, audience, [&](std::string_view id) { return keys.find(id, now); }, now);
  }
  std::size_t kept() const { return tokens_.kept(); }

 private:
  TokenVerifier tokens_;
  std::string audience_;
};
Reader::Options verifier() { return {}; }

/// alice may push to team/app and pull team/base, and nothing else.
ScopeActions alice(const Scope& wanted) {
  if (wanted.type() != "repository") return {};
  if (wanted.name() == "team/app") return kPullPush;
  if (wanted.name() == "team/base") return kPull;
  return {};
}

json claims_of(const std::string& token) {
  const std::size_t first = token.find('.');
  return json::parse(decode_base64url(token.substr(first + 1, token.rfind('.') - first - 1)).value());
}

struct Issued {
  KeyRing keys = ring();
  test::SeededEntropy entropy{1};

  Result<IssuedToken> issue(std::vector<Scope> scopes, std::string subject = "user:alice", WallTime now = kNow) {
    TokenRequest request{.subject = std::move(subject), .audience = "registry.example", .scopes = std::move(scopes)};
    return issue_token(issuer(), keys, request, alice, now, entropy);
  }
};

std::string reason(const Result<std::shared_ptr<const VerifiedToken>>& verified) {
  return verified ? "" : verified.error().log_detail;
}

}  // namespace

TEST_CASE("a token holds what is asked and granted") {
  Issued world;
  const auto made = world.issue({scope("repository:team/app:pull,push,delete"), scope("repository:team/base:*"),
                                 scope("repository:other:pull"), scope("registry:catalog:*"), scope("artifact:x:pull")});
  REQUIRE(made);
  CHECK(made->expires_in == 300s);
  CHECK(made->issued_at == kNow);
  CHECK(made->scope == "repository:team/app:pull,push repository:team/base:pull");
  const std::int64_t now = 1'767'225'600;
  CHECK(claims_of(made->token) == json({{"iss", "https://registry.example"},
                                        {"sub", "user:alice"},
                                        {"aud", "registry.example"},
                                        {"exp", now + 300},
                                        {"nbf", now},
                                        {"iat", now},
                                        {"jti", made->id},
                                        {"access",
                                         {{{"type", "repository"}, {"name", "team/app"}, {"actions", {"pull", "push"}}},
                                          {{"type", "repository"}, {"name", "team/base"}, {"actions", {"pull"}}},
                                          {{"type", "repository"}, {"name", "other"}, {"actions", json::array()}},
                                          {{"type", "registry"}, {"name", "catalog"}, {"actions", json::array()}},
                                          {{"type", "artifact"}, {"name", "x"}, {"actions", json::array()}}}}}));
  CHECK(world.issue({})->id != made->id);
  CHECK(claims_of(world.issue({})->token)["access"] == json::array());
  CHECK(claims_of(world.issue({}, "anonymous")->token)["sub"] == "");
}

TEST_CASE("a token is read back into its subject and ceiling") {
  Issued world;
  Reader tokens(verifier());
  TokenRequest request{.subject = "user:alice",
                       .audience = "registry.example",
                       .scopes = {scope("repository:team/app:pull,push"), scope("repository:other:pull")},
                       .method = "robots",
                       .testimony = {.groups = {"group:dev", "group:ops"},
                                     .roles = {{.role = "writer", .repositories = {pattern("team/**"), pattern("x")}}},
                                     .credential = "42"}};
  const auto made = issue_token(issuer(), world.keys, request, alice, kNow, world.entropy).value();
  const auto read = tokens.verify(made.token, world.keys, kNow);
  REQUIRE(read);
  const VerifiedToken& token = **read;
  CHECK(token.subject == "user:alice");
  CHECK(token.access == std::vector{scope("repository:team/app:pull,push"), scope("repository:other:")});
  CHECK(token.method == "robots");
  CHECK(token.testimony == request.testimony);
  CHECK(token.claims.token_id == made.id);
  CHECK(tokens.verify(world.issue({}, "anonymous")->token, world.keys, kNow).value()->subject == "anonymous");
}

TEST_CASE("a token for too much is not made") {
  Issued world;
  std::vector<Scope> many;
  for (std::size_t i = 0; i < kScopesMax; ++i) many.push_back(scope("repository:" + std::string(100, 'a') + std::to_string(i) + ":pull"));
  CHECK(world.issue(many).failed_with(ErrorCode::request_invalid));
  many.erase(many.begin() + 60, many.end());
  const auto made = world.issue(many);
  REQUIRE(made);
  CHECK(made->token.size() < kTokenSizeMax);
  Reader tokens(verifier());
  CHECK(tokens.verify(made->token, world.keys, kNow).value()->access.size() == 60);
  CHECK(tokens.kept() == 0);  // too large to keep, and good all the same

  const KeyRing none({}, {});
  CHECK(issue_token(issuer(), none, {}, alice, kNow, world.entropy).failed_with(ErrorCode::unavailable));
  TokenRequest odd{.subject = "federated:x:\xff", .audience = "registry.example", .scopes = {}};
  CHECK(issue_token(issuer(), world.keys, odd, alice, kNow, world.entropy));
  TokenOptions brief = issuer();
  brief.lifetime = 1s;
  CHECK(issue_token(brief, world.keys, odd, alice, kNow, world.entropy)->expires_in == 60s);
}

TEST_CASE("a kept token ends when it would end anyway") {
  Issued world;
  Reader tokens(verifier());
  const std::string token = world.issue({scope("repository:team/app:pull")})->token;
  const auto first = tokens.verify(token, world.keys, kNow).value();
  CHECK(tokens.kept() == 1);
  CHECK(tokens.verify(token, world.keys, kNow + 359s).value() == first);
  SECTION("it expires") {
    CHECK(reason(tokens.verify(token, world.keys, kNow + 360s)) == "expired");
    CHECK(tokens.kept() == 0);
  }
  SECTION("the clock goes back") { CHECK(reason(tokens.verify(token, world.keys, kNow - 61s)) == "not_yet_valid"); }
  SECTION("its key is gone") {
    CHECK(reason(tokens.verify(token, ring(), kNow)) == "key_unknown");
    CHECK(tokens.kept() == 0);
  }
  SECTION("another verifier does not know it") {
    auto options = verifier();
    options.audience = "other.example";
    Reader other(options);
    CHECK(reason(other.verify(token, world.keys, kNow)) == "audience_wrong");
    options = verifier();
    options.issuer = "https://other.example";
    Reader another(options);
    CHECK(reason(another.verify(token, world.keys, kNow)) == "issuer_wrong");
  }
  SECTION("another service asks") {
    CHECK(reason(tokens.verify_for("other.example", token, world.keys, kNow)) == "audience_wrong");
    CHECK(tokens.verify(token, world.keys, kNow));
  }
  SECTION("a changed token is another one") {
    std::string changed = token;
    changed[changed.size() - 5] = changed[changed.size() - 5] == 'A' ? 'B' : 'A';
    CHECK(reason(tokens.verify(changed, world.keys, kNow)) == "signature_wrong");
    CHECK(tokens.kept() == 1);
  }
  SECTION("only so many are kept") {
    auto options = verifier();
    options.kept_max = 16;
    Reader small(options);
    for (int i = 0; i < 100; ++i) REQUIRE(small.verify(world.issue({})->token, world.keys, kNow));
    CHECK(small.kept() <= 16);
    CHECK(small.kept() >= 8);
  }
}

TEST_CASE("claims of berth's own that are malformed are refused") {
  struct Row {
    const char* name;
    json member;
    const char* reason;
  };
  const Row rows[] = {
      {"access is an object", {{"access", json::object()}}, "access_malformed"},
      {"an entry is a text", {{"access", {"repository:a:pull"}}}, "access_malformed"},
      {"no type", {{"access", {{{"name", "a"}, {"actions", {"pull"}}}}}}, "access_malformed"},
      {"no name", {{"access", {{{"type", "repository"}, {"actions", {"pull"}}}}}}, "access_malformed"},
      {"actions are a text", {{"access", {{{"type", "repository"}, {"name", "a"}, {"actions", "pull"}}}}}, "access_malformed"},
      {"an action is a number", {{"access", {{{"type", "repository"}, {"name", "a"}, {"actions", {1}}}}}}, "access_malformed"},
      {"too long", {{"access", std::vector<json>(kScopesMax + 1, json{{"type", "a"}, {"name", "b"}, {"actions", json::array()}})}}, "access_malformed"},
      {"groups are a text", {{"groups", "group:admins"}}, "claim_malformed"},
      {"a group is a number", {{"groups", {1}}}, "claim_malformed"},
      {"credential is a number", {{"credential", 1}}, "claim_malformed"},
      {"method is a list", {{"method", {"users"}}}, "claim_malformed"},
      {"roles are a text", {{"roles", "admin"}}, "claim_malformed"},
      {"a role is a text", {{"roles", {"admin"}}}, "claim_malformed"},
      {"a role's name is a number", {{"roles", {{{"role", 1}, {"repositories", {"**"}}}}}}, "claim_malformed"},
      {"a role's repositories are a text", {{"roles", {{{"role", "admin"}, {"repositories", "**"}}}}}, "claim_malformed"},
      {"a role's repository is no pattern", {{"roles", {{{"role", "admin"}, {"repositories", {"A B"}}}}}}, "claim_malformed"},
      {"access is null, as Go writes none", {{"access", nullptr}}, ""},
      {"no actions, as Go writes none", {{"access", {{{"type", "repository"}, {"name", "a"}, {"actions", nullptr}}}}}, ""},
      {"a class and an unknown action", {{"access", {{{"type", "repository"}, {"class", ""}, {"name", "a"}, {"actions", {"fly"}}}}}}, ""},
      {"an entry that no scope names is nothing", {{"access", {{{"type", "repository"}, {"name", "a b"}, {"actions", {"pull"}}}}}}, ""},
  };
  const SigningKey key = SigningKey::generate(Algorithm::eddsa).value();
  const KeyRing keys({{key, kNow}}, {});
  Reader tokens(verifier());
  for (const auto& row : rows) {
    INFO(row.name);
    json claims = {{"iss", "https://registry.example"}, {"aud", "registry.example"}, {"sub", "user:alice"},
                   {"exp", 1'767'225'900},              {"iat", 1'767'225'600}};
    claims.update(row.member);
    const auto read = tokens.verify(key.sign_jwt(claims.dump()).value(), keys, kNow);
    CHECK(reason(read) == row.reason);
    if (read) {
      for (const Scope& one : (*read)->access) CHECK(one.actions().empty());
    }
  }
}

TEST_CASE("a token of an outside server says nothing of berth's own people") {
  const SigningKey key = SigningKey::generate(Algorithm::eddsa).value();
  const KeyRing keys({{key, kNow}}, {});
  Reader tokens({.source = TokenSource::outside});
  const auto read = [&](const char* subject) {
    const json claims = {{"iss", "https://registry.example"},
                         {"aud", "registry.example"},
                         {"sub", subject},
                         {"exp", 1'767'225'900},
                         {"iat", 1'767'225'600},
                         {"method", "users"},
                         {"groups", {"group:admins"}},
                         {"roles", {{{"role", "admin"}, {"repositories", {"**"}}}}},
                         {"credential", "1"},
                         {"access", {{{"type", "repository"}, {"name", "team/app"}, {"actions", {"pull"}}}}}};
    return tokens.verify(key.sign_jwt(claims.dump()).value(), keys, kNow).value();
  };
  const auto token = read("user:alice");
  CHECK(token->source == TokenSource::outside);
  CHECK(token->subject == "federated:outside:user:alice");
  CHECK(token->method == "outside");
  CHECK(token->testimony == Testimony{});
  CHECK(token->access == std::vector{scope("repository:team/app:pull")});
  CHECK(read("")->subject == "anonymous");
}

TEST_CASE("keys come, sign, retire and go") {
  const KeyRing::Options options{};  // 30 days, an hour before, an hour after
  const auto empty = KeyRing({}, options).plan(kNow);
  CHECK(empty.create == kNow);
  CHECK(KeyRing({}, options).signer(kNow) == nullptr);
  CHECK(KeyRing({}, options).jwks(kNow) == R"({"keys":[]})");

  const SigningKey a = SigningKey::generate(Algorithm::es256).value();
  const SigningKey b = SigningKey::generate(Algorithm::es256).value();
  const WallTime change = kNow + 720h;
  const KeyRing one({{a, kNow}}, options);
  CHECK_FALSE(one.plan(change - 1h - 1ms).create);
  CHECK(one.plan(change - 1h).create == change);
  CHECK(one.plan(change + 48h).create == change + 49h);  // nobody looked for two days
  CHECK(one.plan(change + 48h).drop.empty());
  CHECK(one.signer(kNow - 10h)->id() == a.id());  // the clock was set back

  const KeyRing both({{b, change}, {a, kNow}}, options);
  CHECK_FALSE(both.plan(change - 1h).create);
  CHECK(both.signer(change - 1ms)->id() == a.id());
  CHECK(both.signer(change)->id() == b.id());
  const auto shown = [&](WallTime now) {
    std::set<std::string> ids;
    const json keys = json::parse(both.jwks(now));
    for (const json& key : keys["keys"]) ids.insert(key["kid"]);
    return ids;
  };
  CHECK(shown(change - 1h) == std::set{a.id(), b.id()});
  CHECK(shown(change + 1h - 1ms) == std::set{a.id(), b.id()});
  CHECK(shown(change + 1h) == std::set{b.id()});
  CHECK(both.find(a.id(), change + 1h - 1ms) != nullptr);
  CHECK(both.find(a.id(), change + 1h) == nullptr);
  CHECK(both.find(b.id(), kNow) != nullptr);
  CHECK(both.find("other", kNow) == nullptr);
  CHECK(both.plan(change + 1h - 1ms).drop.empty());
  CHECK(both.plan(change + 1h).drop == std::vector{a.id()});

  KeyRing::Options rsa = options;
  rsa.algorithm = Algorithm::rs256;
  CHECK(KeyRing({{a, kNow}}, rsa).plan(kNow + 5h).create == kNow + 6h);
}

TEST_CASE("a token outlives the change of keys") {
  const SigningKey a = SigningKey::generate(Algorithm::es256).value();
  const SigningKey b = SigningKey::generate(Algorithm::es256).value();
  const KeyRing keys({{a, kNow - 1h}, {b, kNow + 1s}}, {});
  test::SeededEntropy entropy(1);
  const TokenRequest request{.subject = "user:alice", .audience = "registry.example", .scopes = {}};
  const auto old = issue_token(issuer(), keys, request, alice, kNow, entropy).value();
  const auto young = issue_token(issuer(), keys, request, alice, kNow + 2s, entropy).value();
  Reader tokens(verifier());
  CHECK(tokens.verify(old.token, keys, kNow + 300s).value()->claims.key_id == a.id());
  CHECK(tokens.verify(young.token, keys, kNow + 300s).value()->claims.key_id == b.id());
}

TEST_CASE("many threads verify at once") {
  Issued world;
  auto options = verifier();
  options.kept_max = 16;
  Reader tokens(options);
  std::vector<std::string> texts;
  for (int i = 0; i < 40; ++i) texts.push_back(world.issue({scope("repository:team/app:pull")})->token);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const auto read = tokens.verify(texts[static_cast<std::size_t>(i * 7 + t) % texts.size()], world.keys, kNow);
        good += read && (*read)->subject == "user:alice" ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(good == 800);
  CHECK(tokens.kept() <= 16);
}

TEST_CASE("bench: what a token costs", "[.bench]") {
  Issued world;
  const auto time = [](const char* what, int runs, const auto& run) {
    const std::clock_t start = std::clock();  // of the processor: other work on the machine does not count
    for (int i = 0; i < runs; ++i) run();
    std::printf("token %-16s %9.1f us\n", what, 1e6 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / runs);
  };
  time("issue", 500, [&] { ignore(world.issue({scope("repository:team/app:pull,push")})); });
  const std::string token = world.issue({scope("repository:team/app:pull,push")})->token;
  auto options = verifier();
  Reader kept(options);
  options.kept_max = 0;
  Reader anew(options);
  time("verify", 2000, [&] { ignore(anew.verify(token, world.keys, kNow)); });
  time("verify, kept", 20'000, [&] { ignore(kept.verify(token, world.keys, kNow)); });
}

}  // namespace berth::auth
