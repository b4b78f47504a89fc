// Content digests (image-spec descriptor.md, "Digests").
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace berth::oci {

/// The algorithms berth hashes with. The numbers reach the disk: never renumber.
enum class Algorithm : std::uint8_t { sha256 = 1, sha512 = 2 };

std::string_view to_string(Algorithm algorithm);                 ///< "sha256"
Result<Algorithm> parse_algorithm(std::string_view text);        ///< digest_unsupported when unknown, digest_invalid when no word
constexpr std::size_t digest_size(Algorithm a) { return a == Algorithm::sha256 ? 32 : 64; }

/// A checked digest of a supported algorithm: the algorithm and raw bytes, not text, so it compares and stores cheaply.
class Digest {
 public:
  /// Longest digest text that is looked at.
  static constexpr std::size_t kTextMax = 255;

  Digest() = default;  ///< sha256 of zeros; exists so that records can be filled in
  /// `sha256:<64 lower-case hex>` or `sha512:<128>`. Errors: digest_invalid (grammar, length, upper case),
  /// digest_unsupported (well-formed, unknown algorithm).
  static Result<Digest> parse(std::string_view text);
  /// From raw hash output; `raw.size()` must be digest_size(algorithm).
  static Digest from_raw(Algorithm algorithm, Bytes raw);
  /// The inverse of append_key. Errors: corrupt.
  static Result<Digest> decode_key(std::string_view key);

  Algorithm algorithm() const { return algorithm_; }
  Bytes raw() const { return {raw_.data(), digest_size(algorithm_)}; }
  std::string hex() const;
  std::string to_string() const;  ///< "sha256:…"

  /// Appends the algorithm byte and the raw bytes: the form used in every storage key (33 or 65 bytes).
  void append_key(std::string& key) const;
  std::string key() const {
    std::string out;
    append_key(out);
    return out;
  }
  static constexpr std::size_t key_size(Algorithm a) { return 1 + digest_size(a); }

  auto operator<=>(const Digest&) const = default;

 private:
  Algorithm algorithm_ = Algorithm::sha256;
  std::array<std::byte, 64> raw_{};  // the unused tail of a sha256 stays zero, so == and <=> are right
};

/// Does the text follow the general digest grammar, whatever the algorithm (subjects may use any)?
bool is_digest_grammar(std::string_view text);

/// A running hash (OpenSSL, with the CPU's SHA instructions). Not thread-safe.
class Hasher {
 public:
  explicit Hasher(Algorithm algorithm);
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();
  Algorithm algorithm() const { return algorithm_; }
  void update(Bytes bytes);
  /// A hash of its own that goes on from what was fed so far.
  Hasher copy() const;
  /// The digest of what was fed so far; ends this hash.
  Digest finish();

 private:
  struct Context;
  Algorithm algorithm_;
  std::unique_ptr<Context> context_;
};

Digest hash(Algorithm algorithm, Bytes bytes);
inline Digest sha256(std::string_view text) { return hash(Algorithm::sha256, as_bytes(text)); }

struct DigestHash {
  std::size_t operator()(const Digest& digest) const;  ///< the first bytes of the digest: already uniform
};

}  // namespace berth::oci
