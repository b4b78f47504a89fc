// Stored bytes failed a check: they are not served again until a push replaces them.
#pragma once

#include "oci/digest.h"
#include "registry/index.h"

namespace berth::registry {

/// Readers see the object as absent, so that clients push it again. Does nothing when the object is gone, or when its
/// copy is no longer the one that failed: another file than `file`, or bytes in the index that are sound by now.
struct Quarantine {
  struct Outcome {
    bool quarantined = false;
  };

  CommandContext context;
  ObjectKind kind = ObjectKind::blob;
  oci::Digest digest;
  std::string file = {};  ///< of the copy that was read; empty for an inline one

  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
