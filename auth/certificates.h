// Chains of certificates inside tokens (x5c, RFC 7515 §4.1.6), as the token servers of distribution send them.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "auth/keys.h"
#include "base/env.h"

struct x509_store_st;

namespace berth::auth {

/// What chains must end at. Const after construction; thread-safe.
class RootCertificates {
 public:
  static constexpr std::size_t kTextMax = 1u << 20;
  /// A PEM bundle of certificates. Errors: request_invalid.
  static Result<RootCertificates> parse_pem(std::string_view pem);

  /// The key of the first certificate of `x5c` (a list of base64 DER, the signer first), when its chain leads to a
  /// root and every certificate is valid at `now`. Any given certificate is a root, also one that another has signed.
  /// Errors: unauthorized, with what is wrong.
  Result<VerificationKey> verify_chain(const nlohmann::json& x5c, WallTime now) const;

 private:
  explicit RootCertificates(std::shared_ptr<x509_store_st> store) : store_(std::move(store)) {}
  std::shared_ptr<x509_store_st> store_;
};

}  // namespace berth::auth
