// WWW-Authenticate: how a client learns where to get a token, and for what. Every value comes out of a grammar that was
// checked before, and a parameter without a value is left out (docker's parser stops at an empty one).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "auth/scope.h"
#include "base/result.h"

namespace berth::auth {

enum class ChallengeError : std::uint8_t {
  none,                ///< no token was sent
  invalid_token,       ///< bad, expired or of somebody else
  insufficient_scope,  ///< a good token that lacks the right
};

/// Bearer realm="…",service="…",scope="…",error="…". Const after construction.
class BearerChallenge {
 public:
  /// `realm` is the token endpoint: an absolute http or https URL without query, fragment and user. `service` is the
  /// name that tokens are for: letters, digits, '.', '-', '_' and ':'. Neither may hold the words "basic" or "bearer",
  /// which some clients would take for the scheme. Errors: request_invalid.
  static Result<BearerChallenge> make(std::string_view realm, std::string_view service);

  /// The value of the header. The scopes are in the order given: the wanted one first.
  std::string header(std::span<const Scope> scopes, ChallengeError error = ChallengeError::none) const;
  const std::string& realm() const { return realm_; }
  const std::string& service() const { return service_; }

 private:
  BearerChallenge(std::string realm, std::string service) : realm_(std::move(realm)), service_(std::move(service)) {}
  std::string realm_;
  std::string service_;
};

/// Basic realm="…", for registries without a token service. `realm` is a name as `service` is above. Errors:
/// request_invalid.
Result<std::string> basic_challenge(std::string_view realm);

}  // namespace berth::auth
