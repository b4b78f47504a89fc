// What the routes of accounts need of the parts of auth/ besides the identities: few things, so that tests bring their
// own.
#pragma once

#include <memory>
#include <string>

#include "auth/options.h"
#include "auth/principal.h"
#include "base/task.h"

namespace berth::auth {
class AccessControl;
}

namespace berth::api {

/// Thread-safe.
class AccountTools {
 public:
  virtual ~AccountTools() = default;
  virtual const auth::AuthOptions& options() const = 0;
  /// Errors: request_invalid (too long), unavailable (too many wait).
  virtual Task<std::string> hash_password(std::string password) = 0;
  /// Whoever a subject stands for, as if it had just come in.
  virtual Task<auth::Principal> principal_of_subject(std::string subject) = 0;
};

/// `access` outlives it.
std::unique_ptr<AccountTools> make_account_tools(auth::AccessControl& access);

}  // namespace berth::api
