// The first command on every store: writes the data format version into a new one, checks it in an old one.
#pragma once

#include "registry/index.h"

namespace berth::registry {

struct InitFormat {
  struct Outcome {
    bool created = false;  ///< the store was new
    Uptime uptime{0};      ///< the up-time clock as it was last written down
  };

  CommandContext context;

  /// Errors: unavailable (a newer major version wrote this store), corrupt.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
