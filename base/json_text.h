// One JSON string, written by hand where a whole JSON library would be too much.
#pragma once

#include <string>
#include <string_view>

namespace berth {

/// Appends `text` as a JSON string, quotes included. Control characters, U+2028 and U+2029 are escaped; bytes that are
/// not valid UTF-8 become U+FFFD, so the output is valid whatever comes in, and reads back as `text` when that is
/// valid.
void append_json_string(std::string& out, std::string_view text);

/// Bytes of the valid UTF-8 sequence that `text` starts with (1 to 4), or 0. No surrogates, nothing overlong.
std::size_t utf8_sequence_size(std::string_view text);

}  // namespace berth
