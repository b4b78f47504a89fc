// The little language inside of transcripts: {{…}} stands for what is computed, remembered, or unknown beforehand.
//
//   {{name}}                     a variable, from `let` or captured from a reply
//   {{sha256:text}}  {{sha512:text}}   the digest of the text
//   {{sha256 name}}  {{sha512 name}}   the digest of a variable's value
//   {{size name}}  {{hexsize name}}    its size, for Content-Length and for chunks
//   {{repeat text n}}            the text n times
//   {{bytes 00ff}}               any bytes, in hex
//   {{any}} {{uuid}} {{digits}} {{date}}   in a reply: whatever is there, of that form
//   {{name=uuid}}                the same, remembered
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::test {

using Variables = std::map<std::string, std::string>;

/// Replaces everything that can be computed. Errors: request_invalid (an unknown name, or a wildcard).
Result<std::string> expand(std::string_view text, const Variables& variables);

/// Does `actual` look like `pattern`? Then what was captured is added to `variables`. Errors: request_invalid.
Result<bool> match(std::string_view pattern, std::string_view actual, Variables& variables);

/// Bytes as they stand in a transcript: what is not printable is escaped (\r \\ \xNN), line feeds stay, but for the
/// last byte.
std::string render(std::string_view bytes);

/// \r \n \t \\ \xNN. Empty when an escape is broken.
std::optional<std::string> unescape(std::string_view text);

}  // namespace berth::test
