// Where a request stands in somebody's trace: W3C Trace Context, level 1 and 2.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth {

struct TraceContext {
  std::array<std::uint8_t, 16> trace_id{};
  std::array<std::uint8_t, 8> parent_id{};  ///< of the caller's span
  bool sampled = false;                     ///< the caller records it

  bool operator==(const TraceContext&) const = default;
  std::string trace_id_text() const;   ///< 32 hex digits
  std::string parent_id_text() const;  ///< 16 hex digits
};

/// The value of `traceparent`. Empty: it has to be passed over (Trace Context §3.2.2, §3.3): wrong form, an id of zeros,
/// version ff, or version 00 with more behind it. A later version is read as far as 00 goes.
std::optional<TraceContext> parse_traceparent(std::string_view text);

}  // namespace berth
