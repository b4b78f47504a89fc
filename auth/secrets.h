// Secrets that berth itself makes: of robots, personal tokens, refresh tokens.
//
// "berth_r_" + 43 digits of base 62 (256 random bits) + 6 digits of checksum. The prefix and the checksum let a scanner
// find a leaked one without asking berth, and let berth refuse a mistyped one without a look-up. 256 random bits cannot
// be guessed, so a plain SHA-256 is enough to store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/env.h"

namespace berth::auth {

enum class SecretKind : std::uint8_t { robot, personal, refresh };
/// "berth_r_", "berth_p_", "berth_f_"
std::string_view prefix_of(SecretKind kind);

struct Secret {
  std::string text;  ///< shown once, never stored
  std::string hash;  ///< hash_secret(text)
};
Secret make_secret(SecretKind kind, Entropy& entropy);

/// The kind of a text that has the form of a secret and a right checksum; it may still be nobody's.
std::optional<SecretKind> parse_secret(std::string_view text);

/// SHA-256, 32 raw bytes.
std::string hash_secret(std::string_view text);
/// In constant time for hashes of the same size.
bool same_secret_hash(std::string_view left, std::string_view right);

}  // namespace berth::auth
