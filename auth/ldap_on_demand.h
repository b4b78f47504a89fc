// libldap and liblber, loaded when there is a directory (base/shared_library.h).
#pragma once

#include "base/shared_library.h"

namespace berth::auth {

/// Ask its load() before any other function of libldap.
SharedLibrary& libldap();

}  // namespace berth::auth
