// For how long an answer to "who is that?" stays as it is while the identities and the settings stand still: what those
// do not tell of is time.
#pragma once

#include <algorithm>

#include "base/env.h"

namespace berth::auth {

/// From the widest there is, made narrower by everything that the answer was made of.
class Validity {
 public:
  void from(WallTime time) { from_ = std::max(from_, time); }
  void until(WallTime time) { wall_until_ = std::min(wall_until_, time); }
  void until(SteadyTime time) { until_ = std::min(until_, time); }
  /// The answer is good for this time alone.
  void never() { until_ = SteadyTime::min(); }
  bool holds(WallTime wall, SteadyTime steady) const { return from_ <= wall && wall < wall_until_ && steady < until_; }

 private:
  WallTime from_ = WallTime::min();
  WallTime wall_until_ = WallTime::max();
  SteadyTime until_ = SteadyTime::max();
};

}  // namespace berth::auth
