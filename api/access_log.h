// One line for each request that ended.
#pragma once

#include "api/http.h"

namespace berth::api {

void log_access(const Request& request, const Response& response, const Outcome& outcome);

}  // namespace berth::api
