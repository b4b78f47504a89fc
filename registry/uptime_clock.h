// The clock that everything falls due by: how long berth has run on this data.
#pragma once

#include <algorithm>

#include "base/env.h"
#include "registry/keys.h"

namespace berth::registry {

/// What was written down before, and the steady time since. A day of downtime does not move it, nor does a wall clock
/// that jumps. Const after construction; thread-safe.
class UptimeClock {
 public:
  UptimeClock(const Clock& clock, Uptime persisted)
      : clock_(clock), base_(std::max(persisted, Uptime{1})), started_(clock.steady()) {}

  /// Above 0, which records use for "never".
  Uptime now() const { return base_ + std::chrono::duration_cast<Uptime>(clock_.steady() - started_); }

 private:
  const Clock& clock_;
  const Uptime base_;
  const SteadyTime started_;
};

}  // namespace berth::registry
