// One line for each request that ended, and one more for those whose answer was late to begin.
#pragma once

#include "api/http.h"

namespace berth::api {

void log_access(const Request& request, const Response& response, const Outcome& outcome);

/// A warning that says where the time went, for an answer that was late to begin.
void log_slow(const Request& request, const Response& response, const Outcome& outcome);

}  // namespace berth::api
