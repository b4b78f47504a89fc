#include "base/trace.h"

#include <algorithm>
#include <vector>

namespace berth {
namespace {

/// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
constexpr std::size_t kSize = 55;

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;  // capitals are not allowed
  return -1;
}

bool read_hex(std::string_view text, std::span<std::uint8_t> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return true;
}

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

// ---- tracestate ----

/// Members longer than this are the first to go when there is too much.
constexpr std::size_t kLongMember = 128;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// One half of a key, or a whole one without '@' (§3.3.1.3.1).
bool is_key_part(std::string_view text, std::size_t size_max, bool may_begin_with_digit) {
  if (text.empty() || text.size() > size_max) return false;
  if (!is_lower(text[0]) && !(may_begin_with_digit && is_digit(text[0]))) return false;
  constexpr std::string_view kMarks = "_-*/";
  return std::all_of(text.begin(), text.end(), [kMarks](char c) {
    return is_lower(c) || is_digit(c) || kMarks.find(c) != std::string_view::npos;
  });
}

bool is_key(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos) return is_key_part(text, 256, false);
  return is_key_part(text.substr(0, at), 241, true) && is_key_part(text.substr(at + 1), 14, false);
}

/// Printable ASCII without ',' and '=' that does not end in a space (§3.3.1.3.2).
bool is_value(std::string_view text) {
  if (text.empty() || text.size() > 256 || text.back() == ' ') return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~' && c != ',' && c != '='; });
}

bool is_member(std::string_view text) {
  const std::size_t equals = text.find('=');
  return equals != std::string_view::npos && is_key(text.substr(0, equals)) && is_value(text.substr(equals + 1));
}

std::string_view without_blanks(std::string_view text) {
  const std::size_t from = text.find_first_not_of(" \t");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

std::size_t joined_size(const std::vector<std::string_view>& members) {
  std::size_t size = members.empty() ? 0 : members.size() - 1;
  for (const auto member : members) size += member.size();
  return size;
}

void shorten(std::vector<std::string_view>& members) {
  for (std::size_t i = members.size(); i-- > 0 && joined_size(members) > kTraceStateBytesMax;) {
    if (members[i].size() > kLongMember) members.erase(members.begin() + static_cast<std::ptrdiff_t>(i));
  }
  while (joined_size(members) > kTraceStateBytesMax) members.pop_back();
}

}  // namespace

std::string trace_hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string TraceContext::trace_id_text() const { return trace_hex(trace_id); }
std::string TraceContext::parent_id_text() const { return trace_hex(parent_id); }

std::string format_traceparent(const TraceContext& context) {
  return "00-" + context.trace_id_text() + "-" + context.parent_id_text() + (context.sampled ? "-01" : "-00");
}

std::string read_tracestate(std::span<const std::string_view> values) {
  std::vector<std::string_view> members;
  for (std::string_view rest : values) {
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      const auto member = without_blanks(rest.substr(0, comma));
      rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
      if (member.empty()) continue;  // allowed (§3.3.1.1)
      if (!is_member(member) || members.size() == kTraceStateMembersMax) return {};
      members.push_back(member);
    }
  }
  shorten(members);
  std::string state;
  for (const auto member : members) state.append(state.empty() ? "" : ",").append(member);
  return state;
}

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  if (text.size() < kSize || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  std::array<std::uint8_t, 1> version{}, flags{};
  TraceContext context;
  if (!read_hex(text, version) || !read_hex(text.substr(3), context.trace_id) ||
      !read_hex(text.substr(36), context.parent_id) || !read_hex(text.substr(53), flags)) {
    return std::nullopt;
  }
  if (version[0] == 0xff || (version[0] == 0 && text.size() != kSize)) return std::nullopt;
  if (text.size() > kSize && text[kSize] != '-') return std::nullopt;
  if (all_zero(context.trace_id) || all_zero(context.parent_id)) return std::nullopt;
  context.sampled = (flags[0] & 1) != 0;
  return context;
}

}  // namespace berth
