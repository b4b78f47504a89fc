// The keys that berth signs its tokens with: next, active, retired.
#pragma once

#include "registry/identities/commands/change.h"

namespace berth::registry {

struct AddSigningKey {
  struct Outcome {
    SigningKeyState state = SigningKeyState::next;
  };
  CommandContext context;
  NewTokenKey key;
  /// Becomes active at once when no key is. Errors: request_invalid, kIdentityConflict (the id is there).
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct ActivateSigningKey {
  struct Outcome {};
  CommandContext context;
  std::string id;
  /// The one that was active is retired. Errors: kIdentityUnknown, kIdentityConflict (it is not next).
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct RemoveSigningKey {
  struct Outcome {};
  CommandContext context;
  std::string id;
  /// What it signed is no good from then on. Errors: kIdentityUnknown, kIdentityConflict (it is active).
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
