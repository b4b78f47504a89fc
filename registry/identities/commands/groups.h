// Groups. Local users know which groups they are in; members from outside are listed in the group.
#pragma once

#include "registry/identities/commands/change.h"

namespace berth::registry {

struct CreateGroup {
  using Outcome = Group;
  CommandContext context;
  NewGroup group;
  /// Errors: request_invalid, kIdentityConflict (the name is taken).
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct UpdateGroup {
  using Outcome = Group;
  CommandContext context;
  std::string name;
  GroupChange change;
  IfVersion if_version = {};
  /// Errors: request_invalid, kIdentityUnknown, kIdentityConflict.
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct DeleteGroup {
  struct Outcome {};
  CommandContext context;
  std::string name;
  IfVersion if_version = {};
  /// Nobody is its member from then on; the rows of its users go in steps. Mentions in grants go along. Errors:
  /// kIdentityUnknown, kIdentityConflict.
  Result<Outcome> apply(kv::Transaction& transaction);
};

/// For other commands, after begin(): a subject that is gone is a member of nothing.
Result<void> erase_memberships(IdentityChange& change, const std::string& subject);

}  // namespace berth::registry
