// Base64 in its two alphabets (RFC 4648 §4 and §5), read strictly: one text for one sequence of bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace berth {

/// The alphabet with '+' and '/', padded.
std::string encode_base64(Bytes bytes);
/// Empty when a byte is outside the alphabet (blanks too), padding is missing or wrong, or unused bits are set.
std::optional<std::string> decode_base64(std::string_view text);

/// The alphabet with '-' and '_', never padded, as JOSE uses it (RFC 7515 §2).
std::string encode_base64url(Bytes bytes);
/// Empty when a byte is outside the alphabet ('=' too), the length is impossible, or unused bits are set.
std::optional<std::string> decode_base64url(std::string_view text);

}  // namespace berth
