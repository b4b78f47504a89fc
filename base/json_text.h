// One JSON string, written by hand where a whole JSON library would be too much.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace berth {

/// Appends `text` as a JSON string, quotes included. Control characters, U+2028 and U+2029 are escaped; bytes that are
/// not valid UTF-8 become U+FFFD, so the output is valid whatever comes in, and reads back as `text` when that is
/// valid.
void append_json_string(std::string& out, std::string_view text);

/// Writes where there is room for all that comes: whoever makes one has seen to that.
class TextOut {
 public:
  explicit TextOut(char* at) : at_(at) {}
  char* end() const { return at_; }
  void push_back(char c) { *at_++ = c; }
  void append(std::string_view text) {
    std::char_traits<char>::copy(at_, text.data(), text.size());
    at_ += text.size();
  }

 private:
  char* at_;
};

/// The same. It takes at most json_string_max().
void append_json_string(TextOut& out, std::string_view text);

/// Of a text with `size` bytes.
constexpr std::size_t json_string_max(std::size_t size) { return 6 * size + 2; }

/// Bytes of the valid UTF-8 sequence that `text` starts with (1 to 4), or 0. No surrogates, nothing overlong.
std::size_t utf8_sequence_size(std::string_view text);

}  // namespace berth
