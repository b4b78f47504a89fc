#include "auth/secrets.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "oci/digest.h"

namespace berth::auth {
namespace {

constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kRandomBytes = 32;
constexpr std::size_t kRandomDigits = 43;  // 62^43 is more than 2^256
constexpr std::size_t kChecksumDigits = 6;
constexpr std::size_t kPrefixSize = 8;

constexpr SecretKind kKinds[] = {SecretKind::robot, SecretKind::personal, SecretKind::refresh};

/// CRC-32 as zip and Ethernet have it: it finds typing mistakes, and scanners know it.
std::uint32_t crc32(std::string_view text) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  return ~crc;
}

std::string checksum(std::string_view text) {
  std::string digits(kChecksumDigits, '0');
  std::uint32_t rest = crc32(text);
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, rest /= 62) *digit = kDigits[rest % 62];
  return digits;
}

/// The bytes as one big-endian number in base 62.
std::string base62(std::array<std::byte, kRandomBytes> number) {
  std::string digits(kRandomDigits, '0');
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    unsigned rest = 0;
    for (std::byte& byte : number) {
      const unsigned value = rest << 8 | std::to_integer<unsigned>(byte);
      byte = static_cast<std::byte>(value / 62);
      rest = value % 62;
    }
    *digit = kDigits[rest];
  }
  return digits;
}

}  // namespace

std::string_view prefix_of(SecretKind kind) {
  switch (kind) {
    case SecretKind::robot: return "berth_r_";
    case SecretKind::personal: return "berth_p_";
    case SecretKind::refresh: return "berth_f_";
  }
  return "";
}

Secret make_secret(SecretKind kind, Entropy& entropy) {
  std::array<std::byte, kRandomBytes> random{};
  entropy.fill(random);
  std::string text(prefix_of(kind));
  text += base62(random);
  text += checksum(text);
  std::string hash = hash_secret(text);
  return {.text = std::move(text), .hash = std::move(hash)};
}

std::optional<SecretKind> parse_secret(std::string_view text) {
  if (text.size() != kPrefixSize + kRandomDigits + kChecksumDigits) return std::nullopt;
  const std::string_view digits = text.substr(kPrefixSize);
  if (digits.find_first_not_of(kDigits) != std::string_view::npos) return std::nullopt;
  const std::size_t body = text.size() - kChecksumDigits;
  if (text.substr(body) != checksum(text.substr(0, body))) return std::nullopt;
  const auto* kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                                  [text](SecretKind candidate) { return text.starts_with(prefix_of(candidate)); });
  if (kind == std::end(kKinds)) return std::nullopt;
  return *kind;
}

std::string hash_secret(std::string_view text) { return std::string(as_text(oci::sha256(text).raw())); }

bool same_secret_hash(std::string_view left, std::string_view right) {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace berth::auth
