// Keys that sign and verify tokens (RFC 7517, 7518, 8037), on OpenSSL.
//
// A key has one algorithm, fixed by its type, and is known by its id. Values: copies share the key, which is const, so
// they may be used by any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct evp_pkey_st;

namespace berth::auth {

enum class Algorithm : std::uint8_t {
  es256,  ///< ECDSA on P-256 with SHA-256
  rs256,  ///< RSA PKCS #1 v1.5 of 2048 to 8192 bits with SHA-256
  eddsa,  ///< Ed25519
};
std::string_view to_string(Algorithm algorithm);  ///< "ES256", as in a token's header
std::optional<Algorithm> parse_algorithm(std::string_view text);

/// Checks signatures.
class VerificationKey {
 public:
  /// A JWK. Its id is its `kid`, else the thumbprint. Errors: request_invalid (not a key of the three kinds, not meant
  /// for signatures, not on its curve, a private key, malformed).
  static Result<VerificationKey> from_jwk(const nlohmann::json& jwk);
  /// A public key or a certificate, in PEM. Its id is the thumbprint. Errors: request_invalid.
  static Result<VerificationKey> from_pem(std::string_view pem);
  /// Takes a reference of its own. Errors: request_invalid (none of the three kinds).
  static Result<VerificationKey> from_openssl(evp_pkey_st* key);

  Algorithm algorithm() const { return algorithm_; }
  const std::string& id() const { return id_; }
  /// The same key under another id.
  VerificationKey with_id(std::string id) const;
  /// RFC 7638, with SHA-256 and base64url.
  const std::string& thumbprint() const { return thumbprint_; }
  /// The id that older token servers of distribution's kind give a key: "ABCD:EFGH:…", twelve groups.
  std::string libtrust_id() const;
  /// As a JWK, with kid, use and alg.
  std::string jwk() const;

  /// `signature` as JWS has it: for ES256 64 bytes, r and s. False for anything that is not a good signature.
  bool verify(std::string_view text, std::string_view signature) const;

 private:
  VerificationKey() = default;
  Algorithm algorithm_ = Algorithm::es256;
  std::shared_ptr<evp_pkey_st> key_;
  std::string members_;  ///< the public members as the thumbprint wants them, without the braces
  std::string thumbprint_;
  std::string id_;
};

/// Signs. Its id is the thumbprint.
class SigningKey {
 public:
  /// RSA takes a good part of a second: not on an I/O thread. Errors: internal.
  static Result<SigningKey> generate(Algorithm algorithm);
  /// Unencrypted PKCS #8. Errors: corrupt.
  static Result<SigningKey> from_pkcs8(std::string_view der);
  /// Secret.
  std::string to_pkcs8() const;

  Algorithm algorithm() const { return public_.algorithm(); }
  const std::string& id() const { return public_.id(); }
  const VerificationKey& public_key() const { return public_; }

  /// As verify() wants it. Errors: internal.
  Result<std::string> sign(std::string_view text) const;
  /// A compact JWS over `claims`, the text of a JSON object; its header has alg, kid and typ. Errors: internal.
  Result<std::string> sign_jwt(std::string_view claims) const;

 private:
  SigningKey(std::shared_ptr<evp_pkey_st> key, VerificationKey public_key);
  std::shared_ptr<evp_pkey_st> key_;
  VerificationKey public_;
  std::string header_;  ///< encoded
};

/// Keys by id. Const after construction.
class KeySet {
 public:
  static constexpr std::size_t kTextMax = 64u << 10;
  static constexpr std::size_t kKeysMax = 32;

  KeySet() = default;
  /// A JWKS. Keys that berth has no use for (for encryption, of other kinds) are passed over. Errors: request_invalid
  /// (too large, malformed, an id twice, a private key, no key that can be used).
  static Result<KeySet> parse_jwks(std::string_view text);
  /// The certificates and public keys of a PEM bundle, each under its thumbprint and its libtrust id. Errors:
  /// request_invalid.
  static Result<KeySet> parse_pem(std::string_view pem);

  /// Null when there is none.
  const VerificationKey* find(std::string_view id) const;
  /// Errors: request_invalid (the id is there, or too many).
  Result<void> add(VerificationKey key);
  std::size_t size() const { return keys_.size(); }

 private:
  std::map<std::string, VerificationKey, std::less<>> keys_;
};

/// {"keys":[…]}
std::string jwks_text(const std::vector<VerificationKey>& keys);

}  // namespace berth::auth
