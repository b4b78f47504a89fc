// Where a request stands in somebody's trace, as headers say it: W3C Trace Context. What berth itself tells of a request
// is in span.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace berth {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

/// Lower-case hex, two digits a byte.
std::string trace_hex(std::span<const std::uint8_t> bytes);

struct TraceContext {
  TraceId trace_id{};
  SpanId parent_id{};    ///< of the caller's span
  bool sampled = false;  ///< the caller records it

  bool operator==(const TraceContext&) const = default;
  std::string trace_id_text() const;   ///< 32 hex digits
  std::string parent_id_text() const;  ///< 16 hex digits
};

/// The value of `traceparent`. Empty: it has to be passed over (Trace Context §3.2.2, §3.3): wrong form, an id of zeros,
/// version ff, or version 00 with more behind it. A later version is read as far as 00 goes.
std::optional<TraceContext> parse_traceparent(std::string_view text);

/// As version 00; of the flags only `sampled`, all others are to be zero (§3.2.2.5).
std::string format_traceparent(const TraceContext& context);

inline constexpr std::size_t kTraceStateMembersMax = 32;
inline constexpr std::size_t kTraceStateBytesMax = 1024;

/// The values of all `tracestate` headers, in their order, as one to pass on unchanged (§3.3). Empty when there is none,
/// when a member has not the form of one, or when there are more than kTraceStateMembersMax. Of a longer one than
/// kTraceStateBytesMax the members above 128 characters go first and then the last ones (§3.3.1.5). A key that comes
/// twice is nobody's business here.
std::string read_tracestate(std::span<const std::string_view> values);

}  // namespace berth
