// One credential while it is looked at: what is counted of it, and for how long the answer will be good.
#pragma once

#include "auth/auth_metrics.h"
#include "auth/validity.h"

namespace berth::auth {

struct Look {
  AuthAttempt counted = {};
  Validity validity = {};
  /// All that the answer depends on is in `validity`. Otherwise it is good for this time alone.
  bool may_keep = false;
};

}  // namespace berth::auth
