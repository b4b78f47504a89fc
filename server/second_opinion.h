// A second reader of request heads: Beast's. Two parsers that read a head differently are how requests are smuggled,
// so in debug, sanitizer and fuzz builds every head that ours accepts is read by Beast too.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/request_head.h"

namespace berth::server {

/// What Beast read differently, or empty. `bytes` is exactly the head.
std::optional<std::string> find_disagreement(std::string_view bytes, const RequestHead& head);

#if !defined(__OPTIMIZE__) || defined(BERTH_SANITIZED)
/// Ends the process when Beast disagrees: a bug in one of the two.
void check_second_opinion(std::string_view bytes, const RequestHead& head);
#else
inline void check_second_opinion(std::string_view, const RequestHead&) {}
#endif

}  // namespace berth::server
