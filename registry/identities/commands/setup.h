// The first administrator, by a secret that opens this once.
#pragma once

#include "registry/identities/commands/change.h"

namespace berth::registry {

struct UseSetupSecret {
  using Outcome = User;
  CommandContext context;
  SecretHash hash{};  ///< of the set-up secret; made and compared by the caller
  NewUser user;       ///< becomes administrator of the whole registry
  /// A refusal leaves the secret unused. Errors: denied (it was used), request_invalid, kIdentityConflict (the name is
  /// taken).
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
