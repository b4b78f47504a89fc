#include "auth/authenticator.h"

namespace berth::auth {

Principal anonymous() { return {}; }

}  // namespace berth::auth
