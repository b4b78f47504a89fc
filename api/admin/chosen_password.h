// A password that somebody chose, on its way to be kept.
#pragma once

#include <string>

#include "api/context.h"
#include "base/task.h"

namespace berth::api::admin {

/// Its hash. Errors: request_invalid (too short, too long), unavailable (too many wait for theirs).
Task<std::string> hash_chosen(Context& context, std::string password);

}  // namespace berth::api::admin
