#include "auth/token_service.h"

#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "auth/secrets.h"
#include "base/base64.h"
#include "base/bytes.h"
#include "tests/unit/auth/token_world.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::reason;
using testing::TokenWorld;

std::string encoded(std::string_view text) { return encode_base64url(as_bytes(text)); }

/// Forges tokens with berth's own key, which nobody else has.
struct Forge {
  explicit Forge(TokenWorld& world) : world_(world), good(world.get({{"scope", "repository:team/app:pull"}}, TokenWorld::alice())->access.token) {
    const auto stored = world.must(world.identities().list_token_keys());
    REQUIRE(stored.size() == 1);
    key = SigningKey::from_pkcs8(stored[0].pkcs8).value();
    header = json::parse(decode_base64url(good.substr(0, good.find('.'))).value());
    const std::size_t first = good.find('.') + 1;
    claims = json::parse(decode_base64url(good.substr(first, good.rfind('.') - first)).value());
  }
  std::string signed_text(const std::string& head, const std::string& body) const {
    const std::string text = encoded(head) + '.' + encoded(body);
    return text + '.' + encoded(key->sign(text).value());
  }
  std::string with_header(const char* name, const json& value) const {
    json changed = header;
    changed[name] = value;
    return signed_text(changed.dump(), claims.dump());
  }
  std::string with_claim(const char* name, const json& value) const {
    json changed = claims;
    changed[name] = value;
    return signed_text(header.dump(), changed.dump());
  }
  std::string without_claim(const char* name) const {
    json changed = claims;
    changed.erase(name);
    return signed_text(header.dump(), changed.dump());
  }
  std::int64_t now() const {
    return std::chrono::floor<std::chrono::seconds>(world_.clock.wall()).time_since_epoch().count();
  }

  TokenWorld& world_;
  std::string good;
  std::optional<SigningKey> key;
  json header;
  json claims;
};

}  // namespace

TEST_CASE("where tokens are to be had, and what for") {
  struct Row {
    const char* name;
    TokenServiceOptions options;
    const char* public_url;
    RequestOrigin origin;
    const char* realm;  ///< empty: there is no challenge
    const char* service;
  };
  const TokenServiceOptions named{.realm = "https://auth.example/v1/token", .service = "images"};
  const Row rows[] = {
      {"public_url", {}, "https://registry.example.com", {"10.0.0.1", false}, "https://registry.example.com/token", "registry.example.com"},
      {"its slash, its port and its case", {}, "https://Registry.example:8443/", {"x", true}, "https://Registry.example:8443/token", "registry.example:8443"},
      {"settings win", named, "https://registry.example.com", {"x", false}, "https://auth.example/v1/token", "images"},
      {"settings alone", named, "", {"x", false}, "https://auth.example/v1/token", "images"},
      {"service alone", {.service = "images"}, "", {"r.example", true}, "https://r.example/token", "images"},
      {"Host", {}, "", {"Registry.example:5000", true}, "https://registry.example:5000/token", "registry.example:5000"},
      {"plain HTTP", {}, "", {"localhost:5000", false}, "http://localhost:5000/token", "localhost:5000"},
      {"an IPv6 address is no service", {}, "", {"[::1]:5000", true}, "https://[::1]:5000/token", "berth"},
      {"no Host", {}, "", {"", true}, "", "berth"},
      {"a Host with a quote", {}, "", {"a\",error=\"x", true}, "", "berth"},
      {"a Host with a line end", {}, "", {"a\r\nX-Evil: 1", true}, "", "berth"},
      {"a Host with a user", {}, "", {"evil@registry.example", true}, "", "berth"},
      {"a Host with a query", {}, "", {"registry.example?x", true}, "", "berth"},
      {"a Host that names a scheme", {}, "", {"basic.example", true}, "", "berth"},
      {"two Hosts", {}, "", {"a.example,b.example", true}, "", "berth"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const TokenWorld world(row.options, row.public_url);
    CHECK(world.service->service(row.origin) == row.service);
    const auto challenge = world.service->challenge(row.origin);
    CHECK((challenge ? challenge->realm() : "") == row.realm);
    if (challenge) CHECK(challenge->service() == row.service);
  }
}

TEST_CASE("settings that no client could follow are refused") {
  testing::IdentityWorld world;
  const auto make = [&](const TokenServiceOptions& options, const char* public_url) {
    return TokenService::create(options, public_url, {world.identities(), world.pool, world.clock, world.entropy})
        .failed_with(ErrorCode::request_invalid);
  };
  CHECK(make({.realm = "auth.example/token", .service = "s"}, ""));
  CHECK(make({.realm = "https://auth.example/token?x=1", .service = "s"}, ""));
  CHECK(make({.realm = "https://auth.example/token"}, ""));
  CHECK(make({.service = "two words"}, ""));
  CHECK(make({.service = "bearer"}, ""));
  CHECK(make({}, "https://user@registry.example"));
  CHECK(make({.algorithm = "HS256"}, ""));
  CHECK(make({.outside = OutsideTokenServer{.realm = "https://a/t", .service = "s", .issuer = "i"}}, ""));
  CHECK_FALSE(make({}, ""));
  CHECK_FALSE(make({.realm = "https://auth.example/token"}, "https://registry.example"));
}

TEST_CASE("a token of each algorithm comes back") {
  for (const char* algorithm : {"ES256", "RS256", "EdDSA"}) {
    INFO(algorithm);
    TokenWorld world({.algorithm = algorithm});
    const auto made = world.get({{"scope", "repository:team/app:pull,push"}}, TokenWorld::alice());
    REQUIRE(made);
    const auto read = world.verify(made->access.token);
    REQUIRE(read);
    CHECK((*read)->subject == "user:alice");
    CHECK((*read)->method == "password");
    CHECK(scopes_text((*read)->access) == "repository:team/app:pull,push,overwrite");
    const json keys = json::parse(world.must(world.service->published_keys()));
    REQUIRE(keys["keys"].size() == 1);
    CHECK(keys["keys"][0]["alg"] == algorithm);
    CHECK(keys["keys"][0]["kid"] == (*read)->claims.key_id);
    CHECK_FALSE(keys["keys"][0].contains("d"));
  }
}

TEST_CASE("every attack on access tokens is refused for its own reason") {
  TokenWorld world;
  Forge forge(world);
  REQUIRE(reason(world.verify(forge.good)) == "");
  REQUIRE(reason(world.verify(forge.with_claim("x", 1))) == "");  // the forge works

  const std::string header = forge.good.substr(0, forge.good.find('.'));
  const std::string rest = forge.good.substr(forge.good.find('.'));
  const SigningKey stranger = SigningKey::generate(Algorithm::es256).value();
  const SigningKey rsa = SigningKey::generate(Algorithm::rs256).value();
  json none = forge.header;
  none["alg"] = "none";
  std::string twice = forge.claims.dump();
  twice.insert(1, R"("sub":"user:root",)");
  std::string twice_access = forge.claims.dump();
  twice_access.insert(1, R"("access":[],)");
  std::string twice_header = forge.header.dump();
  twice_header.insert(1, R"("alg":"none",)");
  json by_stranger = forge.header;
  by_stranger["jwk"] = json::parse(stranger.public_key().jwk());
  const std::string stranger_text = encoded(by_stranger.dump()) + '.' + encoded(forge.claims.dump());

  TokenWorld elsewhere;  // another berth of the same name
  const std::string elsewhere_token = elsewhere.get({}, TokenWorld::alice())->access.token;
  const auto for_other_host = [&] {
    TokenWorld open({}, "");
    open.origin.host = "one.example";
    const std::string token = open.get({}, TokenWorld::alice())->access.token;
    open.origin.host = "other.example";
    return reason(open.verify(token));
  };
  CHECK(for_other_host() == "audience_wrong");

  struct Row {
    const char* name;
    std::string token;
    const char* reason;
  };
  const std::vector<Row> rows = {
      {"nothing", "", "not_three_parts"},
      {"none", encoded(none.dump()) + rest.substr(0, rest.rfind('.') + 1), "algorithm_none"},
      {"none with the good signature", encoded(none.dump()) + rest, "algorithm_none"},
      {"HMAC", forge.with_header("alg", "HS256"), "algorithm_symmetric"},
      {"another kind of key", forge.with_header("alg", "RS256"), "algorithm_not_of_key"},
      {"a key of another kind", rsa.sign_jwt(forge.claims.dump()).value(), "key_unknown"},
      {"another's key", stranger.sign_jwt(forge.claims.dump()).value(), "key_unknown"},
      {"a key that it brings along", stranger_text + '.' + encoded(stranger.sign(stranger_text).value()), "signature_wrong"},
      {"an unknown key", forge.with_header("kid", "AAAA"), "key_unknown"},
      {"no key", forge.with_header("kid", ""), "key_id_malformed"},
      {"another berth's", elsewhere_token, "key_unknown"},
      {"for another service", forge.with_claim("aud", "other.example"), "audience_wrong"},
      {"for nobody", forge.without_claim("aud"), "audience_missing"},
      {"of another issuer", forge.with_claim("iss", "https://other.example"), "issuer_wrong"},
      {"expired", forge.with_claim("exp", forge.now() - 61), "expired"},
      {"for ever", forge.without_claim("exp"), "expiry_missing"},
      {"not yet", forge.with_claim("nbf", forge.now() + 61), "not_yet_valid"},
      {"issued tomorrow", forge.with_claim("iat", forge.now() + 86'400), "issued_in_future"},
      {"too large", forge.with_claim("pad", std::string(kTokenSizeMax, 'x')), "too_large"},
      {"two subjects", forge.signed_text(forge.header.dump(), twice), "payload_json"},
      {"two accesses", forge.signed_text(forge.header.dump(), twice_access), "payload_json"},
      {"two algorithms", forge.signed_text(twice_header, forge.claims.dump()), "header_json"},
      {"access that is none", forge.with_claim("access", "everything"), "access_malformed"},
      {"other claims under the good signature", header + '.' + encoded(forge.claims.dump() + " ") + rest.substr(rest.rfind('.')), "signature_wrong"},
      {"a refresh token", world.refresh_token(), "not_three_parts"},
      {"a personal token", make_secret(SecretKind::personal, world.entropy).text, "not_three_parts"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto read = world.verify(row.token);
    CHECK(reason(read) == row.reason);
    if (!read) CHECK(read.error().code == ErrorCode::unauthorized);
  }

  // The same again after its key was taken away.
  world.clock.advance(719h);
  REQUIRE(world.get({}));
  const auto keys = world.must(world.identities().list_token_keys());
  REQUIRE(keys.size() == 2);
  const std::string next = keys[0].id == forge.key->id() ? keys[1].id : keys[0].id;
  const std::string fresh = world.get({}, TokenWorld::alice())->access.token;
  CHECK(reason(world.verify(fresh)) == "");
  world.must_do(world.identities().activate_token_key(testing::kRoot, next));
  CHECK(reason(world.verify(fresh)) == "");
  world.must_do(world.identities().remove_token_key(testing::kRoot, forge.key->id()));
  CHECK(reason(world.verify(fresh)) == "key_unknown");
}

TEST_CASE("a refresh token is good for its owner, its service and its time") {
  TokenWorld world;
  const std::string good = world.refresh_token();
  const auto redeem = [&](const std::string& text, const std::string& service = "registry.example") {
    return run_task(world.service->redeem(text, service));
  };
  const auto read = redeem(good);
  REQUIRE(read);
  CHECK((*read)->subject == "user:alice");
  CHECK((*read)->method == kRefreshMethod);
  CHECK((*read)->access.empty());
  CHECK((*read)->claims.issued_at == world.clock.wall());
  const auto stored = world.must(
      world.identities().list_credentials(registry::CredentialKind::refresh_token, "user:alice", 10, 0));
  REQUIRE(stored.items.size() == 1);
  CHECK(stored.items[0].service == "registry.example");
  CHECK(stored.items[0].client_id == "docker");

  std::string mistyped = good;
  mistyped.back() = mistyped.back() == 'a' ? 'b' : 'a';
  CHECK(reason(redeem(mistyped)) == "no_refresh_token");
  CHECK(reason(redeem("")) == "no_refresh_token");
  CHECK(reason(redeem(make_secret(SecretKind::refresh, world.entropy).text)) == "refresh_token_unknown");
  CHECK(reason(redeem(make_secret(SecretKind::robot, world.entropy).text)) == "no_refresh_token");
  CHECK(reason(redeem(world.get({}, TokenWorld::alice())->access.token)) == "no_refresh_token");
  CHECK(reason(redeem(good, "other.example")) == "refresh_token_of_another_service");

  SECTION("what has the form and is stored as something else") {
    const Secret secret = make_secret(SecretKind::refresh, world.entropy);
    registry::NewCredential personal{.name = "p"};
    std::transform(secret.hash.begin(), secret.hash.end(), personal.hash.begin(), [](char c) { return static_cast<std::byte>(c); });
    world.must(world.identities().create_token(testing::kRoot, "user:alice", registry::OwnerOrigin::local, personal));
    CHECK(reason(redeem(secret.text)) == "refresh_token_unknown");
  }
  SECTION("one of somebody who gets none") {
    const Secret secret = make_secret(SecretKind::refresh, world.entropy);
    registry::NewCredential odd{.name = "p", .service = "registry.example"};
    std::transform(secret.hash.begin(), secret.hash.end(), odd.hash.begin(), [](char c) { return static_cast<std::byte>(c); });
    world.must(world.identities().issue_refresh_token(testing::kRoot, "federated:ci:x", registry::OwnerOrigin::outside, odd));
    CHECK(reason(redeem(secret.text)) == "refresh_token_of_no_user");
  }
  SECTION("it expires") {
    world.clock.advance(24h * 30 - 1ms);
    CHECK(redeem(good));
    world.clock.advance(1ms);
    CHECK(reason(redeem(good)) == "refresh_token_expired");
  }
  SECTION("it is revoked") {
    world.must_do(world.identities().revoke(testing::kRoot, registry::CredentialKind::refresh_token, "user:alice",
                                            stored.items[0].id));
    CHECK(reason(redeem(good)) == "refresh_token_unknown");
  }
  SECTION("another password takes it along") {
    world.must(world.identities().update_user(testing::kRoot, "alice", {.password_hash = decoy_hash()}));
    CHECK(reason(redeem(good)) == "refresh_token_unknown");
  }
  SECTION("its owner is deleted") {
    world.must_do(world.identities().delete_user(testing::kRoot, "alice", registry::Erasure::keep_name));
    CHECK(reason(redeem(good)) == "refresh_token_unknown");
  }
}

}  // namespace berth::auth
