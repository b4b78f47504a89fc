// Who is that? What the token endpoint asks; AccessControl answers.
#pragma once

#include <memory>
#include <string>

#include "auth/policy.h"
#include "auth/principal.h"
#include "auth/token_issuer.h"
#include "base/span.h"
#include "base/task.h"

namespace berth::auth {

/// Thread-safe. `trace` is of the request. Errors of all: unauthorized, too_many_requests, unavailable, those of the identities.
class Logins {
 public:
  virtual ~Logins() = default;
  /// Tries the methods in their order. `peer` is the address that the login counts for.
  virtual Task<Principal> identify_password(std::string user, std::string password, std::string peer,
                                            trace::Parent trace) = 0;
  /// A JWT of one of the issuers that are set up. It is not tried as a password.
  virtual Task<Principal> identify_jwt(std::string jwt, std::string peer, trace::Parent trace) = 0;
  /// The subject of a good token, when it is still there and may come in, with its groups of now. Its ceiling is the
  /// token's access. What an outside server's token says is a right by itself.
  virtual Task<Principal> principal_of(std::shared_ptr<const VerifiedToken> token) = 0;
  /// The one of now.
  virtual Task<std::shared_ptr<const Policy>> policy() = 0;
};

}  // namespace berth::auth
