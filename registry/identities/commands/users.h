// Local users.
#pragma once

#include "registry/identities/commands/change.h"

namespace berth::registry {

struct CreateUser {
  using Outcome = User;
  CommandContext context;
  NewUser user;
  /// Errors: request_invalid, kIdentityConflict (the name is taken).
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct UpdateUser {
  using Outcome = User;
  CommandContext context;
  std::string name;
  UserChange change;
  IfVersion if_version = {};
  /// Another password takes the refresh tokens along. Errors: request_invalid, kIdentityUnknown, kIdentityConflict.
  Result<Outcome> apply(kv::Transaction& transaction);
};

/// The same password, hashed anew. Nothing happens when the hash is another one by now.
struct ReplaceHash {
  struct Outcome {};
  CommandContext context;
  std::string name;
  std::string old_hash;
  std::string new_hash;
  /// Errors: request_invalid.
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct DeleteUser {
  struct Outcome {};
  CommandContext context;
  std::string name;
  Erasure erasure = Erasure::keep_name;
  IfVersion if_version = {};
  /// Tokens and mentions in grants go along. Errors: kIdentityUnknown, kIdentityConflict.
  Result<Outcome> apply(kv::Transaction& transaction);
};

/// For other commands: checks, and writes nothing when it refuses.
Result<User> make_user(IdentityChange& change, const NewUser& user);

}  // namespace berth::registry
