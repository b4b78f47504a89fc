// Files that hold one secret, for whoever has to show one to somebody else: a password, a token.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace berth::auth {

inline constexpr std::size_t kSecretFileBytesMax = 16 << 10;

/// What the file holds, without the line ends behind it. Blocks on the disk. Errors: unavailable, with path and reason
/// for the operator (it cannot be read, is empty or too large, is no file).
Result<std::string> read_secret_file(const std::string& path);

}  // namespace berth::auth
