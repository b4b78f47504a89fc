// JSON that can be read in one way only, for documents that decide what somebody may do: valid UTF-8, no byte order
// mark, nothing after the value, bounded depth, and no object with a member twice.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.h"

namespace berth {

/// Errors: request_invalid, with a sentence that says what and where. The caller bounds the size of `text`. Include
/// <nlohmann/json.hpp> where the value is used.
Result<nlohmann::json> parse_strict_json(std::string_view text, std::size_t depth_max = 16);

}  // namespace berth
