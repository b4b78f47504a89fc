// Own roles. The built-in ones are no records.
#pragma once

#include <string>
#include <vector>

#include "registry/identities/commands/change.h"

namespace berth::registry {

struct CreateRole {
  using Outcome = Role;
  CommandContext context;
  NewRole role;
  std::vector<std::string> configured_roles = {};  ///< names that the configuration has taken
  /// Errors: request_invalid, kIdentityConflict (the name is taken).
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct UpdateRole {
  using Outcome = Role;
  CommandContext context;
  std::string name;
  RoleChange change;
  IfVersion if_version = {};
  /// Errors: request_invalid (also for a built-in one), kIdentityUnknown, kIdentityConflict.
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct DeleteRole {
  struct Outcome {};
  CommandContext context;
  std::string name;
  IfVersion if_version = {};
  /// Errors: request_invalid (a built-in one), kIdentityUnknown, kIdentityConflict (also while grants name it: the
  /// message says which).
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
