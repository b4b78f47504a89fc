// Robot secrets, personal tokens and refresh tokens: made, revoked, and taken along with their owner.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "registry/identities/commands/change.h"

namespace berth::registry {

struct AddCredential {
  using Outcome = Credential;

  CommandContext context;
  CredentialKind kind = CredentialKind::personal_token;
  std::string owner;  ///< subject
  OwnerOrigin origin = OwnerOrigin::local;
  NewCredential credential;
  std::chrono::milliseconds expired_keep{0};  ///< how long it stays listed after it expired

  /// A refresh token too many takes the place of the oldest; the others are refused. Errors: request_invalid,
  /// kIdentityUnknown (a local owner that is not there), kIdentityConflict (the hash is there already).
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct RevokeCredentials {
  struct Outcome {
    std::size_t revoked = 0;
  };

  CommandContext context;
  CredentialKind kind = CredentialKind::personal_token;
  std::string owner;                      ///< subject
  std::optional<IdentityNumber> id = {};  ///< empty: all of that kind

  /// Errors: kIdentityUnknown when `id` is set and is none.
  Result<Outcome> apply(kv::Transaction& transaction);
};

// ---- for other commands ----

/// Errors: request_invalid, kIdentityConflict.
Result<void> check_credential(const IdentityChange& change, CredentialKind kind, const NewCredential& credential);
/// Checked before; after begin().
Credential put_credential(IdentityChange& change, CredentialKind kind, const std::string& owner,
                          const NewCredential& credential, std::chrono::milliseconds expired_keep);
/// With all that leads to it.
Result<void> erase_credential(IdentityChange& change, const CredentialKey& key);
/// All of an owner, or those of one kind: a bounded number. Answers how many.
Result<std::size_t> erase_credentials(IdentityChange& change, const std::string& owner,
                                      std::optional<CredentialKind> kind = {});

}  // namespace berth::registry
