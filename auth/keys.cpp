#include "auth/keys.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "auth/openssl.h"
#include "base/base64.h"
#include "base/json_text.h"
#include "base/strict_json.h"
#include "oci/digest.h"

namespace berth::auth {
namespace {

using nlohmann::json;
using OwnedBn = Owned<BIGNUM, BN_free>;

constexpr std::size_t kCoordinateSize = 32;  // P-256
constexpr int kRsaBitsMin = 2048;
constexpr int kRsaBitsMax = 8192;  // beyond it a verification takes milliseconds
constexpr std::size_t kRsaExponentSizeMax = 4;
constexpr int kRsaBitsGenerated = 3072;
constexpr std::size_t kEd25519Size = 32;
constexpr std::size_t kKeyIdSizeMax = 512;

/// Fetched once: OpenSSL 3.0 looks an algorithm up under a lock each time it is named otherwise.
const EVP_MD* sha256_method() {
  static EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  require_openssl(method != nullptr, "SHA256");
  return method;
}

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

Error bad_key(std::string_view why) { return make_error(ErrorCode::request_invalid, std::string(why)); }

std::shared_ptr<EVP_PKEY> share(EVP_PKEY* key) { return {key, EVP_PKEY_free}; }

std::string number_text(const BIGNUM& number, std::size_t size) {
  std::string bytes(size, '\0');
  require_openssl(BN_bn2binpad(&number, bytes_of(bytes), static_cast<int>(size)) >= 0, "BN_bn2binpad");
  return encode_base64url(as_bytes(bytes));
}

OwnedBn number_of(const EVP_PKEY& key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(&key, name, &number);
  return OwnedBn(number);
}

std::optional<Algorithm> algorithm_of(const EVP_PKEY& key) {
  if (EVP_PKEY_is_a(&key, "EC") == 1) {
    std::array<char, 64> group{};
    if (EVP_PKEY_get_group_name(&key, group.data(), group.size(), nullptr) != 1) return std::nullopt;
    return std::string_view(group.data()) == SN_X9_62_prime256v1 ? std::optional(Algorithm::es256) : std::nullopt;
  }
  if (EVP_PKEY_is_a(&key, "RSA") == 1) {
    const int bits = EVP_PKEY_get_bits(&key);
    return bits >= kRsaBitsMin && bits <= kRsaBitsMax ? std::optional(Algorithm::rs256) : std::nullopt;
  }
  if (EVP_PKEY_is_a(&key, "ED25519") == 1) return Algorithm::eddsa;
  return std::nullopt;
}

/// The members that a thumbprint is made of, in its order (RFC 7638 §3.2, RFC 8037 §2). Empty when the key cannot say.
std::string public_members(const EVP_PKEY& key, Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::es256: {
      const OwnedBn x = number_of(key, OSSL_PKEY_PARAM_EC_PUB_X);
      const OwnedBn y = number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y);
      if (x == nullptr || y == nullptr) return {};
      return fmt::format(R"("crv":"P-256","kty":"EC","x":"{}","y":"{}")", number_text(*x, kCoordinateSize),
                         number_text(*y, kCoordinateSize));
    }
    case Algorithm::rs256: {
      const OwnedBn n = number_of(key, OSSL_PKEY_PARAM_RSA_N);
      const OwnedBn e = number_of(key, OSSL_PKEY_PARAM_RSA_E);
      if (n == nullptr || e == nullptr) return {};
      return fmt::format(R"("e":"{}","kty":"RSA","n":"{}")", number_text(*e, static_cast<std::size_t>(BN_num_bytes(e.get()))),
                         number_text(*n, static_cast<std::size_t>(BN_num_bytes(n.get()))));
    }
    case Algorithm::eddsa: {
      std::string raw(kEd25519Size, '\0');
      std::size_t size = raw.size();
      if (EVP_PKEY_get_raw_public_key(&key, bytes_of(raw), &size) != 1 || size != raw.size()) return {};
      return fmt::format(R"("crv":"Ed25519","kty":"OKP","x":"{}")", encode_base64url(as_bytes(raw)));
    }
  }
  return {};
}

/// A public key from its numbers; null when it is none, for instance a point that is not on the curve.
KeyPtr key_from(const char* type, OSSL_PARAM_BLD& builder) {
  const Owned<OSSL_PARAM, OSSL_PARAM_free> params(OSSL_PARAM_BLD_to_param(&builder));
  const OwnedKeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return nullptr;
  }
  KeyPtr owned(key);
  const OwnedKeyContext check(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (check == nullptr || EVP_PKEY_public_check(check.get()) != 1) return nullptr;
  return owned;
}

/// A member that must be there, as bytes. Empty when it is missing or no canonical base64url.
std::optional<std::string> bytes_member(const json& jwk, const char* name) {
  const auto member = jwk.find(name);
  if (member == jwk.end() || !member->is_string()) return std::nullopt;
  return decode_base64url(member->get_ref<const std::string&>());
}

/// A member that may be missing. Empty text then; nothing when it is no text.
std::optional<std::string> text_member(const json& jwk, const char* name) {
  const auto member = jwk.find(name);
  if (member == jwk.end()) return std::string();
  if (!member->is_string()) return std::nullopt;
  return member->get<std::string>();
}

Result<KeyPtr> ec_key(const json& jwk) {
  if (text_member(jwk, "crv") != "P-256") return bad_key("of the elliptic curves, only P-256 is accepted");
  const auto x = bytes_member(jwk, "x");
  const auto y = bytes_member(jwk, "y");
  // RFC 7518 §6.2.1.2: the full size, leading zeros included.
  if (!x || !y || x->size() != kCoordinateSize || y->size() != kCoordinateSize) {
    return bad_key("x and y of a P-256 key are 32 bytes each, in base64url");
  }
  const std::string point = '\x04' + *x + *y;
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  require_openssl(builder != nullptr &&
                      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) &&
                      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
                  "OSSL_PARAM_BLD");
  KeyPtr key = key_from("EC", *builder);
  if (key == nullptr) return bad_key("x and y are no point of P-256");
  return key;
}

Result<KeyPtr> rsa_key(const json& jwk) {
  const auto n = bytes_member(jwk, "n");
  const auto e = bytes_member(jwk, "e");
  // RFC 7518 §6.3.1.1: no leading zeros.
  if (!n || !e || n->empty() || e->empty() || n->front() == '\0' || e->front() == '\0') {
    return bad_key("n and e of an RSA key are numbers in base64url, without leading zeros");
  }
  if (n->size() > kRsaBitsMax / 8 || e->size() > kRsaExponentSizeMax) return bad_key("the RSA key is too large");
  if ((e->back() & 1) == 0 || *e == "\x01") return bad_key("the exponent of an RSA key is an odd number from 3");
  const OwnedBn modulus(BN_bin2bn(bytes_of(*n), static_cast<int>(n->size()), nullptr));
  const OwnedBn exponent(BN_bin2bn(bytes_of(*e), static_cast<int>(e->size()), nullptr));
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  require_openssl(modulus != nullptr && exponent != nullptr && builder != nullptr &&
                      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) &&
                      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()),
                  "OSSL_PARAM_BLD");
  if (BN_num_bits(modulus.get()) < kRsaBitsMin) return bad_key("an RSA key has at least 2048 bits");
  KeyPtr key = key_from("RSA", *builder);
  if (key == nullptr) return bad_key("n and e are no RSA key");
  return key;
}

Result<KeyPtr> ed25519_key(const json& jwk) {
  if (text_member(jwk, "crv") != "Ed25519") return bad_key("of the octet key pairs, only Ed25519 is accepted");
  const auto x = bytes_member(jwk, "x");
  if (!x || x->size() != kEd25519Size) return bad_key("x of an Ed25519 key is 32 bytes in base64url");
  KeyPtr key(EVP_PKEY_new_raw_public_key_ex(nullptr, "ED25519", nullptr, bytes_of(*x), x->size()));
  if (key == nullptr) return bad_key("x is no Ed25519 key");
  return key;
}

Result<KeyPtr> key_of(const json& jwk) {
  const auto type = text_member(jwk, "kty");
  if (type == "EC") return ec_key(jwk);
  if (type == "RSA") return rsa_key(jwk);
  if (type == "OKP") return ed25519_key(jwk);
  return bad_key("the JWK is of no kind that is accepted: EC, RSA and OKP are");
}

/// May a key with these members check signatures of this algorithm? (RFC 7517 §4.2 to §4.4)
bool meant_for(const json& jwk, Algorithm algorithm) {
  const auto use = text_member(jwk, "use");
  if (!use || (!use->empty() && *use != "sig")) return false;
  const auto alg = text_member(jwk, "alg");
  if (!alg || (!alg->empty() && *alg != to_string(algorithm))) return false;
  const auto operations = jwk.find("key_ops");
  if (operations == jwk.end()) return true;
  if (!operations->is_array()) return false;
  for (const json& operation : *operations) {
    if (operation == "verify") return true;
  }
  return false;
}

/// r and s of 32 bytes each, as DER wants them. Empty when they cannot be.
std::string der_signature(std::string_view signature) {
  if (signature.size() != 2 * kCoordinateSize) return {};
  const Owned<ECDSA_SIG, ECDSA_SIG_free> pair(ECDSA_SIG_new());
  OwnedBn r(BN_bin2bn(bytes_of(signature), kCoordinateSize, nullptr));
  OwnedBn s(BN_bin2bn(bytes_of(signature) + kCoordinateSize, kCoordinateSize, nullptr));
  require_openssl(pair != nullptr && r != nullptr && s != nullptr && ECDSA_SIG_set0(pair.get(), r.release(), s.release()) == 1,
                  "ECDSA_SIG");
  unsigned char buffer[80];  // at most 72
  unsigned char* end = buffer;
  const int size = i2d_ECDSA_SIG(pair.get(), &end);
  require_openssl(size > 0 && size <= static_cast<int>(sizeof buffer), "i2d_ECDSA_SIG");
  return {reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(size)};
}

std::optional<std::string> raw_signature(std::string_view der) {
  const unsigned char* at = bytes_of(der);
  const Owned<ECDSA_SIG, ECDSA_SIG_free> pair(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  std::string raw(2 * kCoordinateSize, '\0');
  if (pair == nullptr || BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), bytes_of(raw), kCoordinateSize) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), bytes_of(raw) + kCoordinateSize, kCoordinateSize) < 0) {
    return std::nullopt;
  }
  return raw;
}

/// Never asks at a terminal for the password of an encrypted file.
int no_password(char*, int, int, void*) { return 0; }

BioPtr reader(std::string_view text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

}  // namespace

std::string_view to_string(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::es256: return "ES256";
    case Algorithm::rs256: return "RS256";
    case Algorithm::eddsa: return "EdDSA";
  }
  return "";
}

std::optional<Algorithm> parse_algorithm(std::string_view text) {
  for (const Algorithm algorithm : {Algorithm::es256, Algorithm::rs256, Algorithm::eddsa}) {
    if (text == to_string(algorithm)) return algorithm;
  }
  return std::nullopt;
}

Result<VerificationKey> VerificationKey::from_openssl(EVP_PKEY* key) {
  const ErrorQueueGuard guard;
  const auto algorithm = algorithm_of(*key);
  if (!algorithm) return bad_key("a key is of P-256, of RSA with 2048 to 8192 bits, or of Ed25519");
  VerificationKey made;
  made.algorithm_ = *algorithm;
  made.members_ = public_members(*key, *algorithm);
  if (made.members_.empty()) return bad_key("the key has no public part");
  EVP_PKEY_up_ref(key);
  made.key_ = share(key);
  made.thumbprint_ = encode_base64url(oci::sha256('{' + made.members_ + '}').raw());
  made.id_ = made.thumbprint_;
  return made;
}

Result<VerificationKey> VerificationKey::from_jwk(const json& jwk) {
  const ErrorQueueGuard guard;
  if (!jwk.is_object()) return bad_key("a JWK is a JSON object");
  // Somebody published what should be a secret: everybody could sign with it.
  if (jwk.contains("d") || jwk.contains("k")) return bad_key("the JWK holds a secret key");
  BERTH_TRY(const KeyPtr key, key_of(jwk));
  BERTH_TRY(VerificationKey made, from_openssl(key.get()));
  if (!meant_for(jwk, made.algorithm_)) return bad_key("the JWK is not meant for checking signatures of its kind");
  const auto id = text_member(jwk, "kid");
  if (!id || id->size() > kKeyIdSizeMax) return bad_key("kid of a JWK is a text of at most 512 bytes");
  if (!id->empty()) made.id_ = *id;
  return made;
}

Result<VerificationKey> VerificationKey::from_pem(std::string_view pem) {
  const ErrorQueueGuard guard;
  const BioPtr bio = reader(pem);
  KeyPtr key;
  if (pem.find("-----BEGIN CERTIFICATE-----") != std::string_view::npos) {
    const X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
    if (certificate != nullptr) key.reset(X509_get_pubkey(certificate.get()));
  } else {
    key.reset(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_password, nullptr));
  }
  if (key == nullptr) return bad_key("the text is neither a public key nor a certificate in PEM");
  return from_openssl(key.get());
}

VerificationKey VerificationKey::with_id(std::string id) const {
  VerificationKey copy = *this;
  copy.id_ = std::move(id);
  return copy;
}

std::string VerificationKey::libtrust_id() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key_.get(), &der);
  require_openssl(size > 0, "i2d_PUBKEY");
  const oci::Digest digest = oci::sha256(std::string_view(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  // The first 240 bits in base 32, in groups of four.
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string id;
  unsigned buffer = 0;
  int bits = 0;
  int digits = 0;
  for (const std::byte byte : digest.raw().first(30)) {
    buffer = (buffer << 8 | std::to_integer<unsigned>(byte)) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) {
      if (digits > 0 && digits % 4 == 0) id += ':';
      id += kDigits[buffer >> (bits - 5) & 31];
      ++digits;
    }
  }
  return id;
}

std::string VerificationKey::jwk() const {
  std::string text = fmt::format(R"({{{},"use":"sig","alg":"{}","kid":)", members_, to_string(algorithm_));
  append_json_string(text, id_);
  text += '}';
  return text;
}

bool VerificationKey::verify(std::string_view text, std::string_view signature) const {
  const ErrorQueueGuard guard;
  std::string der;
  if (algorithm_ == Algorithm::es256) {
    der = der_signature(signature);
    if (der.empty()) return false;
    signature = der;
  }
  const OwnedMdContext context(EVP_MD_CTX_new());
  require_openssl(context != nullptr, "EVP_MD_CTX_new");
  const EVP_MD* method = algorithm_ == Algorithm::eddsa ? nullptr : sha256_method();
  // RSA without further choices is PKCS #1 v1.5, as RS256 wants.
  if (EVP_DigestVerifyInit(context.get(), nullptr, method, nullptr, key_.get()) != 1) return false;
  return EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(text), text.size()) == 1;
}

SigningKey::SigningKey(std::shared_ptr<EVP_PKEY> key, VerificationKey public_key)
    : key_(std::move(key)), public_(std::move(public_key)) {
  header_ = encode_base64url(
      as_bytes(fmt::format(R"({{"alg":"{}","kid":"{}","typ":"JWT"}})", to_string(public_.algorithm()), public_.id())));
}

Result<SigningKey> SigningKey::generate(Algorithm algorithm) {
  const ErrorQueueGuard guard;
  EVP_PKEY* key = nullptr;
  switch (algorithm) {
    case Algorithm::es256: key = EVP_EC_gen("P-256"); break;
    case Algorithm::rs256: key = EVP_RSA_gen(kRsaBitsGenerated); break;
    case Algorithm::eddsa: key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"); break;
  }
  if (key == nullptr) return make_error(ErrorCode::internal, "a signing key cannot be made");
  auto shared = share(key);
  BERTH_TRY(VerificationKey public_key, VerificationKey::from_openssl(key));
  return SigningKey(std::move(shared), std::move(public_key));
}

Result<SigningKey> SigningKey::from_pkcs8(std::string_view der) {
  const ErrorQueueGuard guard;
  const auto corrupt = [] { return make_error(ErrorCode::corrupt, "a stored signing key cannot be read"); };
  const unsigned char* at = bytes_of(der);
  const Owned<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  if (info == nullptr || at != bytes_of(der) + der.size()) return corrupt();
  EVP_PKEY* key = EVP_PKCS82PKEY(info.get());
  if (key == nullptr) return corrupt();
  auto shared = share(key);
  auto public_key = VerificationKey::from_openssl(key);
  if (!public_key) return corrupt();
  return SigningKey(std::move(shared), *std::move(public_key));
}

std::string SigningKey::to_pkcs8() const {
  const Owned<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(EVP_PKEY2PKCS8(key_.get()));
  unsigned char* der = nullptr;
  const int size = info == nullptr ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info.get(), &der);
  require_openssl(size > 0, "i2d_PKCS8_PRIV_KEY_INFO");
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_clear_free(der, static_cast<std::size_t>(size));
  return text;
}

Result<std::string> SigningKey::sign(std::string_view text) const {
  const ErrorQueueGuard guard;
  const auto failed = [] { return make_error(ErrorCode::internal, "a token cannot be signed"); };
  const OwnedMdContext context(EVP_MD_CTX_new());
  require_openssl(context != nullptr, "EVP_MD_CTX_new");
  const EVP_MD* method = algorithm() == Algorithm::eddsa ? nullptr : sha256_method();
  std::size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, method, nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes_of(text), text.size()) != 1) {
    return failed();
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), bytes_of(signature), &size, bytes_of(text), text.size()) != 1) return failed();
  signature.resize(size);
  if (algorithm() != Algorithm::es256) return signature;
  auto raw = raw_signature(signature);
  if (!raw) return failed();
  return *std::move(raw);
}

Result<std::string> SigningKey::sign_jwt(std::string_view claims) const {
  std::string token = header_ + '.' + encode_base64url(as_bytes(claims));
  BERTH_TRY(const std::string signature, sign(token));
  token += '.';
  token += encode_base64url(as_bytes(signature));
  return token;
}

Result<KeySet> KeySet::parse_jwks(std::string_view text) {
  if (text.size() > kTextMax) return bad_key("the key set is larger than 64 KiB");
  auto document = parse_strict_json(text);
  if (!document) return bad_key("the key set cannot be read: " + document.error().message);
  const auto keys = document->is_object() ? document->find("keys") : document->end();
  if (keys == document->end() || !keys->is_array()) return bad_key("a key set is an object with a list \"keys\"");
  if (keys->size() > kKeysMax) return bad_key("the key set has more than 32 keys");
  KeySet set;
  std::string last_complaint = "it is empty";
  for (const json& jwk : *keys) {
    if (!jwk.is_object()) return bad_key("a JWK is a JSON object");
    if (jwk.contains("d") || jwk.contains("k")) return bad_key("the key set holds a secret key");
    auto key = VerificationKey::from_jwk(jwk);
    if (!key) {
      last_complaint = key.error().message;
      continue;
    }
    BERTH_CHECK(set.add(*std::move(key)));
  }
  if (set.keys_.empty()) return bad_key("the key set has no key that can be used: " + last_complaint);
  return set;
}

Result<KeySet> KeySet::parse_pem(std::string_view pem) {
  if (pem.size() > kTextMax) return bad_key("the file of keys is larger than 64 KiB");
  KeySet set;
  constexpr std::string_view kEnd = "-----END ";
  while (true) {
    const std::size_t begin = pem.find("-----BEGIN ");
    if (begin == std::string_view::npos) break;
    const std::size_t end = pem.find(kEnd, begin);
    if (end == std::string_view::npos) return bad_key("the file of keys is cut off");
    const std::size_t line_end = std::min(pem.find('\n', end), pem.size());
    BERTH_TRY(VerificationKey key, VerificationKey::from_pem(pem.substr(begin, line_end - begin)));
    pem.remove_prefix(line_end);
    if (set.find(key.id()) != nullptr) continue;  // a renewed certificate of the same key
    const std::string libtrust = key.libtrust_id();
    BERTH_CHECK(set.add(key.with_id(libtrust)));
    BERTH_CHECK(set.add(std::move(key)));
  }
  if (set.keys_.empty()) return bad_key("the file holds neither a public key nor a certificate in PEM");
  return set;
}

const VerificationKey* KeySet::find(std::string_view id) const {
  const auto found = keys_.find(id);
  return found == keys_.end() ? nullptr : &found->second;
}

Result<void> KeySet::add(VerificationKey key) {
  if (keys_.size() >= 2 * kKeysMax) return bad_key("there are too many keys");
  std::string id = key.id();
  if (!keys_.emplace(std::move(id), std::move(key)).second) return bad_key("two keys have the same id");
  return {};
}

std::string jwks_text(const std::vector<VerificationKey>& keys) {
  std::string text = R"({"keys":[)";
  for (const VerificationKey& key : keys) {
    if (text.back() == '}') text += ',';
    text += key.jwk();
  }
  text += "]}";
  return text;
}

}  // namespace berth::auth
