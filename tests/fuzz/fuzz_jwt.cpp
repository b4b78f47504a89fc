// Tokens and key sets. The first byte chooses what the rest is: a token as it is, the header and the claims of a token
// that is rightly signed (parted by a line end, so that the fuzzer gets past the signature), or a key set.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "auth/jose.h"
#include "auth/token_issuer.h"
#include "base/base64.h"
#include "tests/fuzz/property.h"

using namespace berth;
using namespace berth::auth;

namespace {

constexpr WallTime kNow{std::chrono::seconds(1'767'225'600)};

const SigningKey& key() {
  // RFC 8037 A.1: its signatures are the same in every run.
  static const SigningKey made =
      SigningKey::from_pkcs8(decode_base64("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g").value()).value();
  return made;
}

void check_token(std::string_view token, bool may_be_good) {
  VerifyOptions options;
  options.issuers = {"i"};
  options.audiences = {"a"};
  options.now = kNow;
  const auto find = [](std::string_view id) { return id == key().id() || id == "k" ? &key().public_key() : nullptr; };
  const auto claims = verify_jwt(token, find, options);
  if (!claims) {
    require(claims.error().code == ErrorCode::unauthorized, "a refusal is unauthorized");
    require(!claims.error().message.empty() && !claims.error().log_detail.empty(), "a refusal says why");
    return;
  }
  require(may_be_good, "no token is good that was not signed");
  // What a simple reader of the same token says.
  const std::size_t first = token.find('.');
  const auto payload = nlohmann::json::parse(decode_base64url(token.substr(first + 1, token.rfind('.') - first - 1)).value());
  require(payload == *claims->all, "the claims are what the token says");
  require(payload["iss"] == "i" && payload["sub"] == claims->subject, "issuer and subject are the token's");
  require(payload["aud"] == "a" || std::count(payload["aud"].begin(), payload["aud"].end(), "a") > 0, "the audience is right");
  require(payload["exp"].get<double>() > 1'767'225'600.0 - 61, "the token has not expired");
  const auto access = access_of(*claims);
  if (access) require(access->size() <= kScopesMax, "the number of scopes is bounded");
}

/// Does it hold at one of a few tries? OpenSSL looks at the modulus of an RSA key with random witnesses: one that the
/// fuzzer made up, with a factor that is not large, is refused once in some hundred times.
template <typename Check>
bool soon(Check check) {
  for (int i = 0; i < 16; ++i) {
    if (check()) return true;
  }
  return false;
}

void check_key_set(std::string_view text) {
  const auto set = KeySet::parse_jwks(text);
  if (!set) {
    require(set.error().code == ErrorCode::request_invalid && !set.error().message.empty(), "a refusal says why");
    return;
  }
  require(set->size() > 0 && set->size() <= KeySet::kKeysMax, "the number of keys is bounded");
  const auto document = nlohmann::json::parse(text);
  for (const auto& jwk : document["keys"]) {
    const auto made = VerificationKey::from_jwk(jwk);
    if (!made) continue;
    const auto listed = [&] {
      const auto another = KeySet::parse_jwks(text);
      return another && another->find(made->id()) != nullptr;
    };
    require(soon(listed), "a good key is in the set");
    const auto written = nlohmann::json::parse(made->jwk());
    const auto survives = [&] {
      const auto again = VerificationKey::from_jwk(written);
      return again && again->thumbprint() == made->thumbprint() && again->id() == made->id();
    };
    require(soon(survives), "a key survives being written");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      check_token(text, false);
      break;
    case 1:
    case 2: {
      const std::size_t end = std::min(text.find('\n'), text.size());
      const std::string_view claims = text.substr(std::min(end + 1, text.size()));
      const std::string signed_text =
          encode_base64url(as_bytes(text.substr(0, end))) + '.' + encode_base64url(as_bytes(claims));
      check_token(signed_text + '.' + encode_base64url(as_bytes(key().sign(signed_text).value())), true);
      break;
    }
    default:
      check_key_set(text);
  }
  return 0;
}
