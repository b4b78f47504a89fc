#include "auth/passwords.h"

#include <argon2.h>
#include <crypt.h>
#include <openssl/crypto.h>
#include <spdlog/fmt/fmt.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>

namespace berth::auth {
namespace {

constexpr std::size_t kSaltSize = 16;
constexpr std::size_t kTagSize = 32;

// A hash of somebody else's making must not make berth reserve gigabytes or compute for minutes.
constexpr std::uint32_t kMemoryKibMax = 256 * 1024;
constexpr std::uint32_t kIterationsMax = 16;
constexpr std::uint32_t kLanesMax = 8;
constexpr int kBcryptCostMin = 4;
constexpr int kBcryptCostMax = 14;  // 0.8 s

bool is_base64_digit(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}
/// The alphabet of crypt(5).
bool is_crypt_digit(char c) { return is_base64_digit(c) ? c != '+' : c == '.'; }

template <class Digit>
bool all_of(std::string_view text, Digit is_digit) {
  for (const char c : text) {
    if (!is_digit(c)) return false;
  }
  return true;
}

/// Takes "`name`=number" and what follows it off the front of `text`.
std::optional<std::uint32_t> take_number(std::string_view& text, std::string_view name, char end, std::uint32_t max) {
  if (!text.starts_with(name)) return std::nullopt;
  text.remove_prefix(name.size());
  std::uint32_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto size = static_cast<std::size_t>(stop - text.data());
  if (error != std::errc{} || text[0] == '0' || value > max || size == text.size() || *stop != end) return std::nullopt;
  text.remove_prefix(size + 1);
  return value;
}

struct Argon2Hash {
  Argon2Cost cost;
  std::size_t tag_digits = 0;
};

std::optional<Argon2Hash> parse_argon2(std::string_view text) {
  constexpr std::string_view kStart = "$argon2id$v=19$";
  if (!text.starts_with(kStart)) return std::nullopt;
  text.remove_prefix(kStart.size());
  const auto memory = take_number(text, "m=", ',', kMemoryKibMax);
  if (!memory) return std::nullopt;
  const auto iterations = take_number(text, "t=", ',', kIterationsMax);
  if (!iterations) return std::nullopt;
  const auto lanes = take_number(text, "p=", '$', kLanesMax);
  if (!lanes || *memory < 8 * *lanes) return std::nullopt;
  const std::size_t dollar = text.find('$');
  if (dollar == std::string_view::npos) return std::nullopt;
  const std::string_view salt = text.substr(0, dollar);
  const std::string_view tag = text.substr(dollar + 1);
  // 8 to 64 bytes of salt, 16 to 64 of tag, without padding.
  if (salt.size() < 11 || salt.size() > 86 || !all_of(salt, is_base64_digit)) return std::nullopt;
  if (tag.size() < 22 || tag.size() > 86 || !all_of(tag, is_base64_digit)) return std::nullopt;
  return Argon2Hash{.cost = {*iterations, *memory, *lanes}, .tag_digits = tag.size()};
}

bool is_bcrypt(std::string_view text) {
  constexpr std::size_t kSize = 60;  // "$2y$10$", 22 digits of salt, 31 of hash
  if (text.size() != kSize) return false;
  if (!text.starts_with("$2a$") && !text.starts_with("$2b$") && !text.starts_with("$2y$")) return false;
  int cost = 0;
  const auto [stop, error] = std::from_chars(text.data() + 4, text.data() + 6, cost);
  if (error != std::errc{} || stop != text.data() + 6 || text[6] != '$') return false;
  return cost >= kBcryptCostMin && cost <= kBcryptCostMax && all_of(text.substr(7), is_crypt_digit);
}

/// "$y$j9T$salt$hash" in the shapes that crypt_gensalt makes, up to 128 MiB.
bool is_yescrypt(std::string_view text) {
  if (text.size() < 8 || !text.starts_with("$y$j") || text[6] != '$') return false;
  const char memory = text[4];
  if (!(memory >= '7' && memory <= '9') && !(memory >= 'A' && memory <= 'C')) return false;
  if (text[5] != '5' && text[5] != 'T') return false;
  text.remove_prefix(7);
  const std::size_t dollar = text.find('$');
  constexpr std::size_t kHashSize = 43;
  if (dollar == std::string_view::npos || dollar > 86 || text.size() - dollar - 1 != kHashSize) return false;
  return all_of(text.substr(0, dollar), is_crypt_digit) && all_of(text.substr(dollar + 1), is_crypt_digit);
}

Error no_memory() { return make_error(ErrorCode::unavailable, "there is no memory to check a password; try again"); }

Result<bool> verify_argon2(std::string_view hash, std::string_view password) {
  const int code = argon2id_verify(std::string(hash).c_str(), password.data(), password.size());
  if (code == ARGON2_OK) return true;
  if (code == ARGON2_VERIFY_MISMATCH) return false;
  if (code == ARGON2_MEMORY_ALLOCATION_ERROR || code == ARGON2_THREAD_FAIL) return no_memory();
  return make_error(ErrorCode::corrupt, "a stored password hash cannot be read", argon2_error_message(code));
}

Result<bool> verify_crypt(std::string_view hash, std::string_view password, std::size_t password_size_max) {
  // crypt stops at a zero byte and bcrypt at 72 bytes; the password that a wrong one would be cut to is not it. The
  // hash is computed all the same, so that the answer comes no sooner.
  const bool readable = password.size() <= password_size_max && password.find('\0') == std::string_view::npos;
  const std::string phrase(readable ? password : std::string_view());
  const std::string setting(hash);
  const auto data = std::make_unique<crypt_data>();  // 32 KiB: not for a stack
  const char* answer = crypt_r(phrase.c_str(), setting.c_str(), data.get());
  if (answer == nullptr || answer[0] == '*') {
    if (errno == ENOMEM) return no_memory();
    return make_error(ErrorCode::corrupt, "a stored password hash cannot be read");
  }
  const std::string_view made(answer);
  const bool same = made.size() == hash.size() && CRYPTO_memcmp(made.data(), hash.data(), hash.size()) == 0;
  OPENSSL_cleanse(data.get(), sizeof(crypt_data));
  return same && readable;
}

}  // namespace

std::string decoy_hash(const Argon2Cost& cost) {
  return fmt::format("$argon2id$v=19$m={},t={},p={}$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                     cost.memory_kib, cost.iterations, cost.lanes);
}

Result<std::string> hash_password(std::string_view password, Entropy& entropy, const Argon2Cost& cost) {
  if (password.size() > kPasswordSizeMax) {
    return make_error(ErrorCode::request_invalid, fmt::format("a password has at most {} bytes", kPasswordSizeMax));
  }
  std::array<std::byte, kSaltSize> salt{};
  entropy.fill(salt);
  std::string text(argon2_encodedlen(cost.iterations, cost.memory_kib, cost.lanes, kSaltSize, kTagSize, Argon2_id), '\0');
  const int code = argon2id_hash_encoded(cost.iterations, cost.memory_kib, cost.lanes, password.data(), password.size(),
                                         salt.data(), salt.size(), kTagSize, text.data(), text.size());
  if (code == ARGON2_MEMORY_ALLOCATION_ERROR || code == ARGON2_THREAD_FAIL) return no_memory();
  if (code != ARGON2_OK) {
    return make_error(ErrorCode::internal, "the password cannot be hashed", argon2_error_message(code));
  }
  text.resize(text.find('\0'));
  return text;
}

bool is_password_hash(std::string_view hash) { return parse_argon2(hash) || is_bcrypt(hash) || is_yescrypt(hash); }

Result<bool> verify_password(std::string_view hash, std::string_view password) {
  // Before anything that depends on the user, so that it tells nothing.
  if (password.size() > kPasswordSizeMax) return false;
  if (parse_argon2(hash)) return verify_argon2(hash, password);
  if (is_bcrypt(hash)) return verify_crypt(hash, password, kBcryptPasswordSizeMax);
  if (is_yescrypt(hash)) return verify_crypt(hash, password, CRYPT_MAX_PASSPHRASE_SIZE - 1);
  return make_error(ErrorCode::corrupt, "a stored password hash is of no known kind");
}

bool needs_rehash(std::string_view hash, const Argon2Cost& cost) {
  const auto parsed = parse_argon2(hash);
  constexpr std::size_t kTagDigits = 43;
  return !parsed || parsed->cost != cost || parsed->tag_digits != kTagDigits;
}

}  // namespace berth::auth
