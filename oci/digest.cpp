#include "oci/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace berth::oci {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_algorithm_separator(char c) { return c == '+' || c == '.' || c == '_' || c == '-'; }
bool is_encoded_byte(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '=' || c == '_' || c == '-'; }

/// Value of a lower-case hex digit, or -1.
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/// `[a-z0-9]+([+._-][a-z0-9]+)*`
bool is_algorithm_grammar(std::string_view text) {
  if (text.empty() || !is_lower_alnum(text.front()) || !is_lower_alnum(text.back())) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_lower_alnum(text[i])) continue;
    // The first and the last byte are letters or digits, so i + 1 is inside.
    if (!is_algorithm_separator(text[i]) || !is_lower_alnum(text[i + 1])) return false;
  }
  return true;
}

/// OpenSSL failing to hash means no memory or a broken installation: no digest could be trusted after it.
void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "berth: OpenSSL cannot hash: %s\n", what);
  std::abort();
}

EVP_MD* fetch(const char* name) {
  EVP_MD* method = EVP_MD_fetch(nullptr, name, nullptr);
  require(method != nullptr, name);
  return method;
}

/// Fetched once: OpenSSL 3.0 looks an algorithm up under a lock each time it is named otherwise.
const EVP_MD* method_of(Algorithm algorithm) {
  static EVP_MD* const sha256_method = fetch("SHA256");
  static EVP_MD* const sha512_method = fetch("SHA512");
  return algorithm == Algorithm::sha256 ? sha256_method : sha512_method;
}

}  // namespace

std::string_view to_string(Algorithm algorithm) { return algorithm == Algorithm::sha256 ? "sha256" : "sha512"; }

Result<Algorithm> parse_algorithm(std::string_view text) {
  if (text == "sha256") return Algorithm::sha256;
  if (text == "sha512") return Algorithm::sha512;
  if (text.size() > Digest::kTextMax || !is_algorithm_grammar(text)) {
    return make_error(ErrorCode::digest_invalid, "the digest algorithm is not a word like sha256");
  }
  return make_error(ErrorCode::digest_unsupported, "the digest algorithm is not supported; sha256 and sha512 are");
}

bool is_digest_grammar(std::string_view text) {
  if (text.size() > Digest::kTextMax) return false;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || !is_algorithm_grammar(text.substr(0, colon))) return false;
  const std::string_view encoded = text.substr(colon + 1);
  return !encoded.empty() && std::all_of(encoded.begin(), encoded.end(), is_encoded_byte);
}

Result<Digest> Digest::parse(std::string_view text) {
  if (!is_digest_grammar(text)) {
    return make_error(ErrorCode::digest_invalid, "a digest is an algorithm, a colon and the encoded hash");
  }
  const std::size_t colon = text.find(':');
  BERTH_TRY(const Algorithm algorithm, parse_algorithm(text.substr(0, colon)));
  const std::string_view encoded = text.substr(colon + 1);
  if (encoded.size() != 2 * digest_size(algorithm)) {
    return make_error(ErrorCode::digest_invalid, algorithm == Algorithm::sha256
                                                     ? "a sha256 digest has 64 hexadecimal digits"
                                                     : "a sha512 digest has 128 hexadecimal digits");
  }
  Digest digest;
  digest.algorithm_ = algorithm;
  for (std::size_t i = 0; i < digest_size(algorithm); ++i) {
    const int high = hex_value(encoded[2 * i]);
    const int low = hex_value(encoded[2 * i + 1]);
    if (high < 0 || low < 0) {
      return make_error(ErrorCode::digest_invalid, "a digest is written in lower-case hexadecimal digits");
    }
    digest.raw_[i] = static_cast<std::byte>(high * 16 + low);
  }
  return digest;
}

Digest Digest::from_raw(Algorithm algorithm, Bytes raw) {
  if (raw.size() != digest_size(algorithm)) std::abort();
  Digest digest;
  digest.algorithm_ = algorithm;
  std::copy(raw.begin(), raw.end(), digest.raw_.begin());
  return digest;
}

Result<Digest> Digest::decode_key(std::string_view key) {
  if (key.empty()) return make_error(ErrorCode::corrupt, "a stored digest is empty");
  const auto number = static_cast<unsigned char>(key[0]);
  if (number != static_cast<unsigned char>(Algorithm::sha256) &&
      number != static_cast<unsigned char>(Algorithm::sha512)) {
    return make_error(ErrorCode::corrupt, "a stored digest has an unknown algorithm");
  }
  const auto algorithm = static_cast<Algorithm>(number);
  if (key.size() != key_size(algorithm)) return make_error(ErrorCode::corrupt, "a stored digest has a wrong length");
  return from_raw(algorithm, as_bytes(key.substr(1)));
}

namespace {

void append_hex(std::string& text, std::span<const std::byte> raw) {
  for (const std::byte byte : raw) {
    text += kHexDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kHexDigits[std::to_integer<unsigned>(byte) & 15];
  }
}

}  // namespace

std::string Digest::hex() const {
  std::string text;
  text.reserve(2 * digest_size(algorithm_));
  append_hex(text, raw());
  return text;
}

std::string Digest::to_string() const {
  const std::string_view name = oci::to_string(algorithm_);
  std::string text;
  text.reserve(name.size() + 1 + 2 * digest_size(algorithm_) + 2);  // and room for the quotes of an entity tag
  text += name;
  text += ':';
  append_hex(text, raw());
  return text;
}

void Digest::append_key(std::string& key) const {
  key += static_cast<char>(algorithm_);
  key += as_text(raw());
}

struct Hasher::Context {
  explicit Context(Algorithm algorithm) : evp(EVP_MD_CTX_new()) {
    require(evp != nullptr && EVP_DigestInit_ex2(evp, method_of(algorithm), nullptr) == 1, "EVP_DigestInit");
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(evp); }
  EVP_MD_CTX* evp;
};

Hasher::Hasher(Algorithm algorithm) : algorithm_(algorithm), context_(std::make_unique<Context>(algorithm)) {}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(Bytes bytes) {
  require(context_ != nullptr && EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) == 1, "EVP_DigestUpdate");
}

Hasher Hasher::copy() const {
  Hasher other(algorithm_);
  require(context_ != nullptr && EVP_MD_CTX_copy_ex(other.context_->evp, context_->evp) == 1, "EVP_MD_CTX_copy_ex");
  return other;
}

Digest Hasher::finish() {
  std::array<std::byte, EVP_MAX_MD_SIZE> raw{};
  unsigned size = 0;
  require(context_ != nullptr &&
              EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(raw.data()), &size) == 1,
          "EVP_DigestFinal");
  context_.reset();  // a use after the end dies in require() and cannot yield a digest
  return Digest::from_raw(algorithm_, Bytes(raw.data(), size));
}

Digest hash(Algorithm algorithm, Bytes bytes) {
  Hasher hasher(algorithm);
  hasher.update(bytes);
  return hasher.finish();
}

std::size_t DigestHash::operator()(const Digest& digest) const {
  std::size_t value = 0;
  std::memcpy(&value, digest.raw().data(), sizeof value);
  return value;
}

}  // namespace berth::oci
