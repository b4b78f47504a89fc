// Tokens of an outside token server, trusted as distribution trusts them: by the certificates of its rootcertbundle
// (chains in x5c, or their keys by thumbprint or libtrust id), or by the keys of a JWKS file. Its tokens are rights by
// themselves: it has asked its own users' rights, and berth knows neither.
#pragma once

#include <memory>
#include <string_view>

#include "auth/challenge.h"
#include "auth/keys.h"
#include "auth/options.h"
#include "auth/token_issuer.h"

namespace berth::auth {

/// Thread-safe.
class OutsideTokens {
 public:
  /// Blocks: reads the files. Errors: request_invalid (no key in them, or the realm or service cannot be one), io_error;
  /// with a sentence for the operator.
  static Result<std::unique_ptr<OutsideTokens>> create(const OutsideTokenServer& server);

  const BearerChallenge& challenge() const { return challenge_; }
  /// Errors: unauthorized, as verify_jwt().
  Result<std::shared_ptr<const VerifiedToken>> verify(std::string_view token, WallTime now);

 private:
  OutsideTokens(BearerChallenge challenge, KeySet certificates, KeySet keys, TokenVerifier::Options options);
  const BearerChallenge challenge_;
  const KeySet certificates_;
  const KeySet keys_;
  TokenVerifier verifier_;
};

}  // namespace berth::auth
