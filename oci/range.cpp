#include "oci/range.h"

#include <limits>

namespace berth::oci {
namespace {

constexpr std::uint64_t kNumberMax = std::numeric_limits<std::uint64_t>::max();

bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Number {
  std::uint64_t value = 0;
  bool overflow = false;  ///< `value` is then the largest number there is
};

/// Takes the digits at the start of `text`; empty when there are none.
std::optional<Number> take_number(std::string_view& text) {
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  Number number;
  while (!text.empty() && is_digit(text.front())) {
    const auto digit = static_cast<std::uint64_t>(text.front() - '0');
    if (number.value > (kNumberMax - digit) / 10) number.overflow = true;
    number.value = number.overflow ? kNumberMax : number.value * 10 + digit;
    text.remove_prefix(1);
  }
  return number;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

/// Range units are case-insensitive (RFC 9110 §14.1). The unit of "bytes=…" is taken off.
bool take_bytes_unit(std::string_view& text) {
  constexpr std::string_view kUnit = "bytes=";
  if (text.size() < kUnit.size()) return false;
  for (std::size_t i = 0; i < kUnit.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
    if (c != kUnit[i]) return false;
  }
  text.remove_prefix(kUnit.size());
  return true;
}

enum class Verdict { malformed, unsatisfiable, satisfiable };

/// One `a-b`, `a-` or `-n` against content of `size` bytes.
Verdict resolve_one(std::string_view text, std::uint64_t size, ByteRange& range) {
  if (text.starts_with('-')) {
    text.remove_prefix(1);
    const auto suffix = take_number(text);
    if (!suffix || !text.empty()) return Verdict::malformed;
    if (suffix->value == 0 || size == 0) return Verdict::unsatisfiable;
    range = {suffix->value >= size ? 0 : size - suffix->value, size};
    return Verdict::satisfiable;
  }
  const auto first = take_number(text);
  if (!first || !text.starts_with('-')) return Verdict::malformed;
  text.remove_prefix(1);
  std::uint64_t last = kNumberMax;
  if (!text.empty()) {
    const auto number = take_number(text);
    if (!number || !text.empty()) return Verdict::malformed;
    last = number->value;
  }
  // RFC 9110 would ignore last < first; the conformance suite wants 416 for it.
  if (first->value >= size || last < first->value) return Verdict::unsatisfiable;
  range = {first->value, last >= size ? size : last + 1};
  return Verdict::satisfiable;
}

}  // namespace

RangeAnswer resolve_range(std::string_view header, std::uint64_t size, std::size_t ranges_max) {
  std::string_view rest = trim(header);
  if (!take_bytes_unit(rest)) return WholeContent{};

  std::vector<ByteRange> ranges;
  std::uint64_t unasked = size;
  std::size_t unsatisfiable = 0;
  bool more = true;
  while (more) {
    const std::size_t comma = rest.find(',');
    const std::string_view member = trim(rest.substr(0, comma));
    more = comma != std::string_view::npos;
    if (more) rest.remove_prefix(comma + 1);
    if (member.empty()) continue;  // RFC 9110 §5.6.1.2: empty list elements are ignored

    ByteRange range;
    const Verdict verdict = resolve_one(member, size, range);
    if (verdict == Verdict::malformed || ranges.size() + unsatisfiable == ranges_max) return WholeContent{};
    if (verdict == Verdict::satisfiable) {
      if (range.size() > unasked) return WholeContent{};
      unasked -= range.size();
      ranges.push_back(range);
    } else {
      ++unsatisfiable;
    }
  }
  if (ranges.empty()) {
    if (unsatisfiable == 0) return WholeContent{};  // "bytes=" and nothing
    return Unsatisfiable{};
  }
  if (unsatisfiable > 0) return WholeContent{};
  return ranges;
}

std::optional<ByteRange> parse_upload_range(std::string_view header) {
  constexpr std::string_view kUnit = "bytes ";
  if (header.starts_with(kUnit)) header.remove_prefix(kUnit.size());
  const auto first = take_number(header);
  if (!first || first->overflow || !header.starts_with('-')) return std::nullopt;
  header.remove_prefix(1);
  const auto last = take_number(header);
  if (!last || last->overflow || !header.empty()) return std::nullopt;
  if (last->value < first->value || last->value == kNumberMax) return std::nullopt;
  return ByteRange{first->value, last->value + 1};
}

}  // namespace berth::oci
