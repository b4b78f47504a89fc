// Who is asking?
#pragma once

#include <string>

#include "registry/actor.h"

namespace berth::auth {

/// Whoever can reach this server, without a name. Credentials that a client sends unasked are not looked at.
registry::Actor anonymous(std::string request_id);

}  // namespace berth::auth
