// One line for each request that ended.
#pragma once

#include <chrono>
#include <cstdint>

#include "api/http.h"

namespace berth::api {

void log_access(const Request& request, const Response& response, std::uint64_t bytes_sent, bool complete,
                std::chrono::steady_clock::duration elapsed);

}  // namespace berth::api
