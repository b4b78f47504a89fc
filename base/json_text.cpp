#include "base/json_text.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace berth {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Needs no look: neither a control byte, nor a quote, nor part of a longer sequence.
bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\';
}

/// How many plain bytes come first.
std::size_t count_plain(std::string_view text) {
  std::size_t size = 0;
  // Eight at a time: a byte that is not plain sets its highest bit in one of the sums below, or has it already.
  constexpr std::uint64_t ones = 0x0101010101010101;
  constexpr std::uint64_t highs = 0x80 * ones;
  const auto has_zero = [](std::uint64_t word) { return (word - ones) & ~word; };
  for (; size + 8 <= text.size(); size += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + size, sizeof word);
    const std::uint64_t below_space = (word - 0x20 * ones) & ~word;
    const std::uint64_t special =
        has_zero(word ^ ('"' * ones)) | has_zero(word ^ ('\\' * ones)) | has_zero(word ^ (0x7f * ones));
    if (((word | below_space | special) & highs) != 0) break;
  }
  while (size < text.size() && is_plain(text[size])) ++size;
  return size;
}

template <class Out>
void append_code(Out& out, char c) {
  constexpr std::string_view digits = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out.append("\\u00");
  out.push_back(digits[byte >> 4]);
  out.push_back(digits[byte & 15]);
}

template <class Out>
void append_escaped(Out& out, char c) {
  switch (c) {
    case '"':
      return void(out.append("\\\""));
    case '\\':
      return void(out.append("\\\\"));
    case '\n':
      return void(out.append("\\n"));
    case '\r':
      return void(out.append("\\r"));
    case '\t':
      return void(out.append("\\t"));
    default:
      append_code(out, c);
  }
}

template <class Out>
void append_string(Out& out, std::string_view text) {
  out.push_back('"');
  while (!text.empty()) {
    const std::size_t plain = count_plain(text);
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;

    const std::size_t size = utf8_sequence_size(text);
    if (size == 0) {
      out.append("\xef\xbf\xbd");
      text.remove_prefix(1);
      continue;
    }
    if (size == 1) {
      append_escaped(out, text[0]);
    } else if (text.starts_with("\xe2\x80\xa8") || text.starts_with("\xe2\x80\xa9")) {
      // Line separators: some readers of JSON lines take them for the end of a line.
      out.append(text[2] == '\xa8' ? "\\u2028" : "\\u2029");
    } else if (size == 2 && text[0] == '\xc2' && static_cast<unsigned char>(text[1]) < 0xa0) {
      append_code(out, text[1]);  // U+0080 to U+009F are control characters to a terminal
    } else {
      out.append(text.substr(0, size));
    }
    text.remove_prefix(size);
  }
  out.push_back('"');
}

}  // namespace

std::size_t utf8_sequence_size(std::string_view text) {
  if (text.empty()) return 0;
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xc2 && first <= 0xdf   ? 2
                           : first >= 0xe0 && first <= 0xef ? 3
                           : first >= 0xf0 && first <= 0xf4 ? 4
                                                            : 0;
  if (size == 0 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second > 0x9f;
  const bool too_large = first == 0xf4 && second > 0x8f;
  return overlong || surrogate || too_large ? 0 : size;
}

void append_json_string(std::string& out, std::string_view text) { append_string(out, text); }
void append_json_string(TextOut& out, std::string_view text) { append_string(out, text); }

}  // namespace berth
