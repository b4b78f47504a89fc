// Who is asking?
#pragma once

#include "auth/principal.h"

namespace berth::auth {

/// Whoever can reach this server, without a name. Credentials that a client sends unasked are not looked at.
Principal anonymous();

}  // namespace berth::auth
