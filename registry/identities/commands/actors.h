// Numbers for those who act, so that histories hold numbers and people can be erased.
#pragma once

#include "registry/identities/commands/change.h"

namespace berth::registry {

/// Gives a subject its actor the first time it acts: those that come from outside have no other record.
struct NameActor {
  struct Outcome {
    ActorId actor = 0;
  };
  CommandContext context;
  std::string subject;
  /// Writes nothing when there is one. Errors: request_invalid (a subject that cannot act).
  Result<Outcome> apply(kv::Transaction& transaction);
};

/// The number stays, the name goes.
struct EraseActor {
  struct Outcome {};
  CommandContext context;
  ActorId actor = 0;
  /// Errors: kIdentityUnknown, kIdentityConflict (a local user or robot: it is to be deleted).
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
