// JSON Web Tokens (RFC 7519) as compact JWS (RFC 7515), checked without trusting anything that the token says of itself
// before its signature is.
//
// The key comes from the caller's look-up by `kid` and from nowhere else: what a token brings along (jwk, jku, x5u) is
// not looked at, and x5c only against roots that the caller gives. The algorithm is the key's.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/keys.h"
#include "base/env.h"
#include "base/result.h"

namespace berth::auth {

class RootCertificates;

struct VerifyOptions {
  std::vector<Algorithm> algorithms = {Algorithm::es256, Algorithm::rs256, Algorithm::eddsa};
  std::vector<std::string> issuers;    ///< one of them must be `iss`
  std::vector<std::string> audiences;  ///< one of them must be in `aud`
  WallTime now;
  std::chrono::seconds leeway{60};  ///< how much the issuer's clock may differ
  std::size_t size_max = 16u << 10;
  /// When set, a token whose kid the look-up does not know may prove its key by a chain in x5c to one of these.
  const RootCertificates* roots = nullptr;
};

struct Claims {
  std::string issuer;
  std::string subject;  ///< may be empty: nobody in particular. Says nothing without the issuer
  std::vector<std::string> audiences;
  WallTime expires;
  WallTime issued_at;
  std::optional<WallTime> not_before;
  std::string token_id;                       ///< jti; may be empty
  std::string key_id;                         ///< of the key that verified
  std::shared_ptr<const nlohmann::json> all;  ///< the whole object
};

/// Null when there is no such key; the key must live until verify_jwt() returns.
using KeyLookup = std::function<const VerificationKey*(std::string_view kid)>;

/// Errors: unauthorized, with one sentence for the client; `log_detail` is the reason as one word ("signature_wrong",
/// see jose.cpp for all), different for each thing that can be wrong.
Result<Claims> verify_jwt(std::string_view token, const KeyLookup& find_key, const VerifyOptions& options);

/// Do the times still hold? For tokens that were verified before. The same errors.
Result<void> check_times(const Claims& claims, WallTime now, std::chrono::seconds leeway);

}  // namespace berth::auth
