// Dates as HTTP writes them.
#pragma once

#include <optional>
#include <string_view>

#include "base/env.h"

namespace berth {

/// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 §5.6.7, IMF-fixdate), the one form that is written today. Empty: it is none.
std::optional<WallTime> parse_http_date(std::string_view text);

}  // namespace berth
