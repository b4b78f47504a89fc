#include "auth/outside_tokens.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "base/base64.h"
#include "base/bytes.h"
#include "tests/support/certificates.h"
#include "tests/unit/auth/token_world.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::reason;

/// The bytes of the first block of a PEM text.
std::string der(std::string_view pem) {
  std::string digits;
  for (std::size_t at = pem.find('\n') + 1; !pem.substr(at).starts_with("-----");) {
    const std::size_t end = pem.find('\n', at);
    digits += pem.substr(at, end - at);
    at = end + 1;
  }
  return decode_base64(digits).value();
}

struct World {
  test::Authority authority{"token servers"};
  test::Identity identity = authority.issue({.name = "auth.example"});
  SigningKey key = SigningKey::from_pkcs8(der(identity.key)).value();
  test::Folder folder;
  WallTime now = SystemClock().wall();

  OutsideTokenServer server() const {
    return {.realm = "https://auth.example/token", .service = "registry.example", .issuer = "auth.example"};
  }
  std::unique_ptr<OutsideTokens> open(const OutsideTokenServer& server) const {
    auto opened = OutsideTokens::create(server);
    if (!opened) FAIL(opened.error().message);
    return *std::move(opened);
  }
  json claims() const {
    const std::int64_t seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
    return {{"iss", "auth.example"},
            {"sub", "alice"},
            {"aud", "registry.example"},
            {"exp", seconds + 300},
            {"nbf", seconds},
            {"iat", seconds},
            {"jti", "1"},
            {"access", {{{"type", "repository"}, {"name", "team/app"}, {"actions", {"pull", "push"}}}}}};
  }
  std::string token(const json& header, const json& changes = json::object()) const {
    json all = claims();
    all.update(changes);
    json head = {{"typ", "JWT"}, {"alg", "ES256"}};
    head.update(header);
    const std::string text = encode_base64url(as_bytes(head.dump())) + '.' + encode_base64url(as_bytes(all.dump()));
    return text + '.' + encode_base64url(as_bytes(key.sign(text).value()));
  }
  json chain() const { return json::array({encode_base64(as_bytes(der(identity.certificate)))}); }
};

}  // namespace

TEST_CASE("tokens of an outside server, by root certificates") {
  const World world;
  OutsideTokenServer server = world.server();
  SECTION("the authority: chains") {
    server.root_certificates_file = world.folder.write("roots.pem", world.authority.certificate());
    const auto tokens = world.open(server);
    const auto read = tokens->verify(world.token({{"x5c", world.chain()}}), world.now);
    REQUIRE(reason(read) == "");
    CHECK((*read)->subject == "federated:outside:alice");
    CHECK((*read)->source == TokenSource::outside);
    CHECK(scopes_text((*read)->access) == "repository:team/app:pull,push");
    const std::string good = world.token({{"x5c", world.chain()}});
    CHECK(reason(tokens->verify(good, world.now)) == "");
    CHECK(reason(tokens->verify(good, world.now + 299s)) == "");  // kept
    CHECK(reason(tokens->verify(good, world.now + 360s)) == "expired");
    // Who is not below the authority, and who brings a key without a chain.
    const test::Authority evil("token servers");
    const json evil_chain = json::array({encode_base64(as_bytes(der(evil.issue({}).certificate)))});
    CHECK(reason(tokens->verify(world.token({{"x5c", evil_chain}}), world.now)).starts_with("chain_not_trusted"));
    CHECK(reason(tokens->verify(world.token({{"kid", world.key.id()}}), world.now)) == "key_unknown");
    CHECK(reason(tokens->verify(world.token({{"jwk", json::parse(world.key.public_key().jwk())}}), world.now)) == "key_id_missing");
    CHECK(reason(tokens->verify(world.token({{"x5c", world.chain()}}, {{"iss", "other"}}), world.now)) == "issuer_wrong");
    CHECK(reason(tokens->verify(world.token({{"x5c", world.chain()}}, {{"aud", "other"}}), world.now)) == "audience_wrong");
  }
  SECTION("the signer's own: key ids of both kinds") {
    server.root_certificates_file = world.folder.write("roots.pem", world.identity.certificate);
    const auto tokens = world.open(server);
    CHECK(reason(tokens->verify(world.token({{"kid", world.key.public_key().libtrust_id()}}), world.now)) == "");
    CHECK(reason(tokens->verify(world.token({{"kid", world.key.public_key().thumbprint()}}), world.now)) == "");
    CHECK(reason(tokens->verify(world.token({{"x5c", world.chain()}}), world.now)) == "");
    CHECK(reason(tokens->verify(world.token({{"kid", "AAAA"}}), world.now)) == "key_unknown");
  }
}

TEST_CASE("tokens of an outside server, by a key set") {
  const World world;
  OutsideTokenServer server = world.server();
  server.jwks_file = world.folder.write("jwks.json", jwks_text({world.key.public_key()}));
  const auto tokens = world.open(server);
  CHECK(reason(tokens->verify(world.token({{"kid", world.key.id()}}), world.now)) == "");
  CHECK(reason(tokens->verify(world.token({{"x5c", world.chain()}}), world.now)) == "key_id_missing");
  CHECK(tokens->challenge().header({}) == R"(Bearer realm="https://auth.example/token",service="registry.example")");
}

TEST_CASE("an outside server that cannot be trusted as it is set up") {
  const World world;
  const auto refused = [&](const OutsideTokenServer& server) {
    const auto made = OutsideTokens::create(server);
    ignore(made);
    return made ? "" : std::string(to_string(made.error().code));
  };
  OutsideTokenServer server = world.server();
  CHECK(refused(server) == "request_invalid");
  server.jwks_file = world.folder.path("nothing");
  CHECK(refused(server) == "io_error");
  server.jwks_file = world.folder.write("empty.json", R"({"keys":[]})");
  CHECK(refused(server) == "request_invalid");
  server.jwks_file = world.folder.write("large.json", std::string(KeySet::kTextMax + 1, ' '));
  CHECK(refused(server) == "request_invalid");
  server.jwks_file = world.folder.write("jwks.json", jwks_text({world.key.public_key()}));
  CHECK(refused(server) == "");
  server.root_certificates_file = world.folder.write("roots.pem", "no certificate");
  CHECK(refused(server) == "request_invalid");
  server.root_certificates_file.clear();
  server.issuer.clear();
  CHECK(refused(server) == "request_invalid");
  server.issuer = "i";
  server.realm = "auth.example";
  CHECK(refused(server) == "request_invalid");
}

TEST_CASE("with an outside server berth points there and makes no tokens") {
  const World outside;
  OutsideTokenServer server = outside.server();
  server.root_certificates_file = outside.folder.write("roots.pem", outside.authority.certificate());
  testing::TokenWorld world({.outside = server});
  world.clock.jump_wall(outside.now - world.clock.wall());
  CHECK_FALSE(world.service->makes_tokens());
  CHECK(world.service->challenge(world.origin)->realm() == "https://auth.example/token");
  CHECK(world.service->service({.host = "x", .secure = true}) == "registry.example");
  CHECK(reason(world.verify(outside.token({{"x5c", outside.chain()}}))) == "");
  // berth's own keys are worth nothing then.
  testing::TokenWorld own;
  own.clock.jump_wall(outside.now - own.clock.wall());
  CHECK(reason(world.verify(own.get({})->access.token)) == "key_unknown");
}

}  // namespace berth::auth
