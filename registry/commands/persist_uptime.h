// The up-time clock is written down, every few seconds and at a stop, so that a restart goes on from there.
#pragma once

#include "registry/index.h"

namespace berth::registry {

/// Writes context.uptime. The clock never goes back: a smaller one is ignored.
struct PersistUptime {
  struct Outcome {};

  CommandContext context;

  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
