// Grants that are stored (those of the configuration are no records).
#pragma once

#include <string>
#include <vector>

#include "registry/identities/commands/change.h"

namespace berth::registry {

struct CreateGrant {
  using Outcome = StoredGrant;
  CommandContext context;
  GrantContent grant;
  std::vector<std::string> configured_roles = {};  ///< roles that are no records, beside the built-in ones
  /// Errors: request_invalid (also for a role that is not there).
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct UpdateGrant {
  using Outcome = StoredGrant;
  CommandContext context;
  IdentityNumber id = 0;
  GrantContent grant;  ///< all of it anew
  IfVersion if_version = {};
  std::vector<std::string> configured_roles = {};
  /// Errors: request_invalid, kIdentityUnknown, kIdentityConflict.
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct DeleteGrant {
  struct Outcome {};
  CommandContext context;
  IdentityNumber id = 0;
  IfVersion if_version = {};
  /// Errors: kIdentityUnknown, kIdentityConflict.
  Result<Outcome> apply(kv::Transaction& transaction);
};

// ---- for other commands ----

/// Checked and with the change begun: writes a new grant.
Result<StoredGrant> put_new_grant(IdentityChange& change, const GrantContent& grant);
/// Errors: request_invalid.
Result<void> check_grant(const IdentityChange& change, const GrantContent& grant,
                         const std::vector<std::string>& configured_roles);
/// After begin(): no grant names the subject any more; those that named nobody else are gone.
Result<void> erase_mentions(IdentityChange& change, const std::string& subject);

}  // namespace berth::registry
