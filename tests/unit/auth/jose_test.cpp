#include "auth/jose.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "auth/certificates.h"
#include "auth/openssl.h"
#include "base/base64.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr WallTime kNow{1'767'225'600s};
constexpr long long kNowSeconds = 1'767'225'600;

/// One set of keys for all tests: RSA takes its time.
struct Keys {
  SigningKey ec = SigningKey::generate(Algorithm::es256).value();
  SigningKey rsa = SigningKey::generate(Algorithm::rs256).value();
  SigningKey ed = SigningKey::generate(Algorithm::eddsa).value();
  SigningKey stranger = SigningKey::generate(Algorithm::es256).value();

  const VerificationKey* find(std::string_view id) const {
    for (const SigningKey* key : {&ec, &rsa, &ed}) {
      if (key->id() == id) return &key->public_key();
    }
    return nullptr;
  }
  KeyLookup lookup() const {
    return [this](std::string_view id) { return find(id); };
  }
};
const Keys& keys() {
  static const Keys all;
  return all;
}

VerifyOptions options() {
  VerifyOptions made;
  made.issuers = {"https://issuer.example", "https://other.example"};
  made.audiences = {"registry.example"};
  made.now = kNow;
  return made;
}

json good_claims() {
  return {{"iss", "https://issuer.example"}, {"sub", "alice"},           {"aud", "registry.example"},
          {"exp", kNowSeconds + 300},        {"iat", kNowSeconds - 10}, {"nbf", kNowSeconds - 10}, {"jti", "1"}};
}
json good_header(const SigningKey& key) { return {{"alg", to_string(key.algorithm())}, {"kid", key.id()}, {"typ", "JWT"}}; }

std::string encoded(std::string_view text) { return encode_base64url(as_bytes(text)); }
std::string sign(const SigningKey& key, std::string_view header, std::string_view claims) {
  const std::string text = encoded(header) + '.' + encoded(claims);
  return text + '.' + encoded(key.sign(text).value());
}
/// A good token, but for what `change` does to its header or claims before it is signed.
std::string token_with(const std::function<void(json& header, json& claims)>& change, const SigningKey& key = keys().ec) {
  json header = good_header(key);
  json claims = good_claims();
  change(header, claims);
  return sign(key, header.dump(), claims.dump());
}
std::string with_header(const char* member, const json& value) {
  return token_with([&](json& header, json&) { header[member] = value; });
}
std::string without_header(const char* member) {
  return token_with([&](json& header, json&) { header.erase(member); });
}
std::string with_claim(const char* member, const json& value) {
  return token_with([&](json&, json& claims) { claims[member] = value; });
}
std::string without_claim(const char* member) {
  return token_with([&](json&, json& claims) { claims.erase(member); });
}
std::string good_token() {
  return token_with([](json&, json&) {});
}
/// The part of a token, from 0.
std::string part(const std::string& token, int number) {
  std::size_t begin = 0;
  for (int i = 0; i < number; ++i) begin = token.find('.', begin) + 1;
  return token.substr(begin, token.find('.', begin) - begin);
}
std::string joined(const std::string& header, const std::string& claims, const std::string& signature) {
  return header + '.' + claims + '.' + signature;
}

/// HS256 with the text of a public key as the secret, as an attacker would try it.
std::string hmac_with_public_key() {
  json header = good_header(keys().rsa);
  header["alg"] = "HS256";
  const std::string text = encoded(header.dump()) + '.' + encoded(good_claims().dump());
  const std::string secret = keys().rsa.public_key().jwk();
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), mac, &size);
  return text + '.' + encoded({reinterpret_cast<const char*>(mac), size});
}

/// A canonical base64url text whose last digit has a bit set that says nothing.
std::string not_canonical(std::string text) {
  REQUIRE(text.size() % 4 != 0);
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  text.back() = kDigits[kDigits.find(text.back()) ^ 1];
  return text;
}

// Certificates.
using Certificate = Owned<X509, X509_free>;

EVP_PKEY* openssl_key(const SigningKey& key) {
  const std::string der = key.to_pkcs8();
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size()));
}
struct CertificateOptions {
  bool authority = false;
  long long begin = kNowSeconds - 1000;
  long long end = kNowSeconds + 1000;
};
Certificate certificate(const SigningKey& subject, const char* name, const SigningKey& issuer, const char* issuer_name,
                        const CertificateOptions& options = {}) {
  static long serial = 0;
  Certificate made(X509_new());
  const KeyPtr subject_key(openssl_key(subject));
  const KeyPtr issuer_key(openssl_key(issuer));
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
  ASN1_TIME_set(X509_getm_notBefore(made.get()), options.begin);
  ASN1_TIME_set(X509_getm_notAfter(made.get()), options.end);
  const auto set_name = [](X509_NAME* target, const char* text) {
    X509_NAME_add_entry_by_txt(target, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(text), -1, -1, 0);
  };
  set_name(X509_get_subject_name(made.get()), name);
  set_name(X509_get_issuer_name(made.get()), issuer_name);
  X509_set_pubkey(made.get(), subject_key.get());
  const Owned<X509_EXTENSION, X509_EXTENSION_free> constraints(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, options.authority ? "critical,CA:TRUE" : "CA:FALSE"));
  X509_add_ext(made.get(), constraints.get(), -1);
  REQUIRE(X509_sign(made.get(), issuer_key.get(), EVP_sha256()) > 0);
  return made;
}
std::string der_of(const Certificate& certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}
std::string pem_of(const Certificate& certificate) {
  return "-----BEGIN CERTIFICATE-----\n" + encode_base64(as_bytes(der_of(certificate))) + "\n-----END CERTIFICATE-----\n";
}
json chain_of(std::initializer_list<const Certificate*> chain) {
  json list = json::array();
  for (const Certificate* one : chain) list.push_back(encode_base64(as_bytes(der_of(*one))));
  return list;
}

}  // namespace

TEST_CASE("a good token is read") {
  for (const SigningKey* key : {&keys().ec, &keys().rsa, &keys().ed}) {
    INFO(to_string(key->algorithm()));
    const auto claims = verify_jwt(token_with([](json&, json&) {}, *key), keys().lookup(), options());
    REQUIRE(claims);
    CHECK(claims->issuer == "https://issuer.example");
    CHECK(claims->subject == "alice");
    CHECK(claims->audiences == std::vector<std::string>{"registry.example"});
    CHECK(claims->token_id == "1");
    CHECK(claims->key_id == key->id());
    CHECK(claims->expires == kNow + 300s);
    CHECK(claims->issued_at == kNow - 10s);
    CHECK(claims->not_before == kNow - 10s);
    CHECK(*claims->all == good_claims());
  }
}

TEST_CASE("tokens of other makers are read") {
  struct Row {
    const char* name;
    std::string token;
  };
  const auto& ec = keys().ec;
  const Row rows[] = {
      {"no type", without_header("typ")},
      {"lower-case type", with_header("typ", "jwt")},
      {"type of access tokens", with_header("typ", "at+JWT")},
      {"type in full", with_header("typ", "application/jwt")},
      {"unknown members of the header", with_header("x", json::array({1, 2}))},
      {"the other issuer", with_claim("iss", "https://other.example")},
      {"a list of audiences", with_claim("aud", {"a", "registry.example"})},
      {"no not-before", without_claim("nbf")},
      {"no id", without_claim("jti")},
      {"nobody", with_claim("sub", "")},
      {"fractions of seconds", with_claim("exp", kNowSeconds + 0.5)},
      {"expired within the leeway", with_claim("exp", kNowSeconds - 59)},
      {"starts within the leeway", with_claim("nbf", kNowSeconds + 60)},
      {"issued within the leeway", with_claim("iat", kNowSeconds + 60)},
      {"blanks and line ends", sign(ec, "{\r\n \"alg\" : \"ES256\",\n\"kid\":\"" + ec.id() + "\"}", good_claims().dump(2))},
      {"a member twice in different objects", with_claim("kubernetes", {{"sub", 1}, {"pod", {{"sub", 2}}}})},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto claims = verify_jwt(row.token, keys().lookup(), options());
    if (!claims) FAIL_CHECK(claims.error().log_detail);
  }
}

TEST_CASE("every attack on tokens is refused for its own reason") {
  struct Row {
    const char* name;
    std::string token;
    const char* reason;
  };
  const std::string good = good_token();
  const std::string header = part(good, 0);
  const std::string claims = part(good, 1);
  const std::string signature = part(good, 2);
  const auto& ec = keys().ec;
  const auto& rsa = keys().rsa;
  const json stranger_jwk = json::parse(keys().stranger.public_key().jwk());
  const auto by_stranger = [&](const char* member, const json& value) {
    json forged = good_header(ec);
    forged[member] = value;
    return sign(keys().stranger, forged.dump(), good_claims().dump());
  };
  std::string twice = good_claims().dump();
  twice.insert(1, R"("sub":"admin",)");
  std::string twice_inside = good_claims().dump();
  twice_inside.insert(1, R"("access":[{"type":"repository","name":"a","name":"b"}],)");
  std::string header_twice = good_header(ec).dump();
  header_twice.insert(1, R"("alg":"none",)");
  const std::string none_header = encoded(json({{"alg", "none"}, {"kid", ec.id()}}).dump());
  std::string rs = keys().ec.sign("x").value();
  // A payload whose text leaves bits unused, and the same bytes written otherwise, signed as such.
  std::string odd_claims = good_claims().dump();
  while (odd_claims.size() % 3 == 0) odd_claims += ' ';
  const std::string sloppy_text = header + '.' + not_canonical(encoded(odd_claims));
  std::string odd_header = good_header(ec).dump();
  while (odd_header.size() % 3 == 0) odd_header += ' ';
  const std::string sloppy_header = not_canonical(encoded(odd_header)) + '.' + claims;
  const auto signed_text = [&](const std::string& text) { return text + '.' + encoded(ec.sign(text).value()); };
  // RFC 7515 A.4: an algorithm that is not supported.
  const std::string es512 =
      "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw"
      "_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";

  const Row rows[] = {
      // Form.
      {"too large", with_claim("pad", std::string(20'000, 'x')), "too_large"},
      {"empty", "", "not_three_parts"},
      {"two parts", header + '.' + claims, "not_three_parts"},
      {"four parts", good + ".x", "not_three_parts"},
      {"encrypted, five parts", "a.b.c.d.e", "not_three_parts"},
      {"bytes after the signature", good + ' ', "signature_encoding"},
      {"a line end after the signature", good + '\n', "signature_encoding"},
      {"a blank before", ' ' + good, "header_encoding"},
      {"padded header", joined(header + "=", claims, signature), "header_encoding"},
      {"header not canonical", signed_text(sloppy_header), "header_encoding"},
      {"header of the other alphabet", joined("+" + header.substr(1), claims, signature), "header_encoding"},
      {"claims not canonical", signed_text(sloppy_text), "payload_encoding"},
      {"padded claims", signed_text(header + '.' + claims + "="), "payload_encoding"},
      {"signature not canonical", joined(header, claims, not_canonical(signature)), "signature_encoding"},
      {"padded signature", good + "==", "signature_encoding"},
      // Header.
      {"header is no JSON", sign(ec, "alg", "{}"), "header_json"},
      {"header with a member twice", sign(ec, header_twice, good_claims().dump()), "header_json"},
      {"bytes after the header's object", sign(ec, good_header(ec).dump() + "{}", good_claims().dump()), "header_json"},
      {"header nested deep", with_header("x", json::parse("[[[[[[1]]]]]]")), "header_json"},
      {"header is a list", sign(ec, "[]", "{}"), "header_not_object"},
      {"no algorithm", without_header("alg"), "algorithm_missing"},
      {"algorithm is no text", with_header("alg", 1), "algorithm_missing"},
      {"none", joined(none_header, claims, ""), "algorithm_none"},
      {"none with a signature", with_header("alg", "none"), "algorithm_none"},
      {"NoNe", with_header("alg", "NoNe"), "algorithm_none"},
      {"HMAC with the public key", hmac_with_public_key(), "algorithm_symmetric"},
      {"HS512", with_header("alg", "HS512"), "algorithm_symmetric"},
      {"RFC 7515 A.4, ES512", es512, "algorithm_unknown"},
      {"RSA-PSS", with_header("alg", "PS256"), "algorithm_unknown"},
      {"lower-case algorithm", with_header("alg", "es256"), "algorithm_unknown"},
      {"RS256 for a P-256 key", with_header("alg", "RS256"), "algorithm_not_of_key"},
      {"ES256 for an RSA key", token_with([](json& h, json&) { h["alg"] = "ES256"; }, rsa), "algorithm_not_of_key"},
      {"a critical extension", with_header("crit", {"exp"}), "critical_extension"},
      {"no critical extension, but the word", with_header("crit", json::array()), "critical_extension"},
      {"payload not encoded (RFC 7797)", token_with([](json& h, json&) { h["b64"] = false; h["crit"] = {"b64"}; }), "critical_extension"},
      {"a logout token", with_header("typ", "logout+jwt"), "wrong_type"},
      {"type is no text", with_header("typ", 1), "wrong_type"},
      {"no key id", without_header("kid"), "key_id_missing"},
      {"key id is no text", with_header("kid", 1), "key_id_malformed"},
      {"empty key id", with_header("kid", ""), "key_id_malformed"},
      {"long key id", with_header("kid", std::string(2000, 'k')), "key_id_malformed"},
      {"unknown key", sign(keys().stranger, good_header(keys().stranger).dump(), good_claims().dump()), "key_unknown"},
      {"a path as key id", with_header("kid", "../../etc/passwd"), "key_unknown"},
      // Keys that the token brings along are not looked at: a known kid, signed with a stranger's key.
      {"jwk in the header", by_stranger("jwk", stranger_jwk), "signature_wrong"},
      {"jku in the header", by_stranger("jku", "https://evil.example/keys"), "signature_wrong"},
      {"x5u in the header", by_stranger("x5u", "https://evil.example/cert"), "signature_wrong"},
      {"x5c in the header", by_stranger("x5c", json::array({"AAAA"})), "signature_wrong"},
      {"jwk and no key id", token_with([&](json& h, json&) { h.erase("kid"); h["jwk"] = stranger_jwk; }, keys().stranger), "key_id_missing"},
      // Signature.
      {"no signature", joined(header, claims, ""), "signature_wrong"},
      {"a stranger's signature", sign(keys().stranger, good_header(ec).dump(), good_claims().dump()), "signature_wrong"},
      {"another token's signature", joined(header, claims, part(with_claim("sub", "bob"), 2)), "signature_wrong"},
      {"other claims", joined(header, part(with_claim("sub", "admin"), 1), signature), "signature_wrong"},
      {"r and s are zero", joined(header, claims, encoded(std::string(64, '\0'))), "signature_wrong"},
      {"r is zero", joined(header, claims, encoded(std::string(32, '\0') + rs.substr(32))), "signature_wrong"},
      {"signature too long", joined(header, claims, signature + "AAAA"), "signature_wrong"},
      // Claims.
      {"claims are no JSON", sign(ec, good_header(ec).dump(), "iss"), "payload_json"},
      {"subject twice", sign(ec, good_header(ec).dump(), twice), "payload_json"},
      {"a member twice inside", sign(ec, good_header(ec).dump(), twice_inside), "payload_json"},
      {"bytes after the claims", sign(ec, good_header(ec).dump(), good_claims().dump() + "x"), "payload_json"},
      {"claims not UTF-8", sign(ec, good_header(ec).dump(), "{\"iss\":\"\xff\"}"), "payload_json"},
      {"claims nested deep", with_claim("x", json::parse(std::string(20, '[') + std::string(20, ']'))), "payload_json"},
      {"claims are a text", sign(ec, good_header(ec).dump(), "\"iss\""), "payload_not_object"},
      {"no issuer", without_claim("iss"), "issuer_missing"},
      {"issuer is a list", with_claim("iss", {"https://issuer.example"}), "issuer_malformed"},
      {"another issuer", with_claim("iss", "https://evil.example"), "issuer_wrong"},
      {"nearly the issuer", with_claim("iss", "https://issuer.example/"), "issuer_wrong"},
      {"no subject", without_claim("sub"), "subject_missing"},
      {"subject is a number", with_claim("sub", 1), "subject_malformed"},
      {"no audience", without_claim("aud"), "audience_missing"},
      {"audience is an object", with_claim("aud", json::object()), "audience_malformed"},
      {"no audience in the list", with_claim("aud", json::array()), "audience_malformed"},
      {"a number among the audiences", with_claim("aud", {"registry.example", 1}), "audience_malformed"},
      {"another audience", with_claim("aud", "other.example"), "audience_wrong"},
      {"other audiences", with_claim("aud", {"a", "b"}), "audience_wrong"},
      {"no expiry", without_claim("exp"), "expiry_missing"},
      {"expiry is a text", with_claim("exp", "9999999999"), "expiry_malformed"},
      {"expiry before 1970", with_claim("exp", -1), "expiry_malformed"},
      {"expiry never", with_claim("exp", 1e300), "expiry_malformed"},
      {"expired", with_claim("exp", kNowSeconds - 60), "expired"},
      {"expired long ago", with_claim("exp", 0), "expired"},
      {"no time of issue", without_claim("iat"), "issued_at_missing"},
      {"time of issue is null", with_claim("iat", nullptr), "issued_at_malformed"},
      {"issued in the future", with_claim("iat", kNowSeconds + 61), "issued_in_future"},
      {"start is a text", with_claim("nbf", "0"), "not_before_malformed"},
      {"starts in the future", with_claim("nbf", kNowSeconds + 61), "not_yet_valid"},
      {"id is a number", with_claim("jti", 1), "token_id_malformed"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto claims_or_error = verify_jwt(row.token, keys().lookup(), options());
    REQUIRE_FALSE(claims_or_error);
    CHECK(claims_or_error.error().code == ErrorCode::unauthorized);
    CHECK(claims_or_error.error().log_detail == row.reason);
    CHECK_FALSE(claims_or_error.error().message.empty());
    CHECK(ERR_peek_error() == 0);
  }
}

TEST_CASE("a verifier may accept fewer algorithms, issuers and audiences") {
  const std::string token = good_token();
  const auto reason = [&](VerifyOptions changed) {
    const auto claims = verify_jwt(token, keys().lookup(), changed);
    return claims ? "" : claims.error().log_detail;
  };
  VerifyOptions changed = options();
  CHECK(reason(changed).empty());
  changed.algorithms = {Algorithm::rs256, Algorithm::eddsa};
  CHECK(reason(changed) == "algorithm_not_allowed");
  changed = options();
  changed.issuers = {};
  CHECK(reason(changed) == "issuer_wrong");
  changed = options();
  changed.audiences = {};
  CHECK(reason(changed) == "audience_wrong");
  changed = options();
  changed.leeway = 0s;
  changed.now = kNow + 300s;
  CHECK(reason(changed) == "expired");
}

TEST_CASE("every cut and every changed byte of a token is refused") {
  const std::string good = good_token();
  for (std::size_t i = 0; i < good.size(); ++i) {
    CHECK_FALSE(verify_jwt(good.substr(0, i), keys().lookup(), options()));
    std::string changed = good;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    if (changed == good) continue;
    INFO(i);
    CHECK_FALSE(verify_jwt(changed, keys().lookup(), options()));
  }
}

TEST_CASE("a chain in x5c is a key source only against given roots") {
  const SigningKey root_key = SigningKey::generate(Algorithm::es256).value();
  const SigningKey middle_key = SigningKey::generate(Algorithm::es256).value();
  const auto& signer = keys().stranger;
  const CertificateOptions authority{.authority = true};
  const Certificate root = certificate(root_key, "root", root_key, "root", authority);
  const Certificate middle = certificate(middle_key, "middle", root_key, "root", authority);
  const Certificate leaf = certificate(signer, "leaf", middle_key, "middle");
  const Certificate direct = certificate(signer, "leaf", root_key, "root");
  const Certificate expired = certificate(signer, "leaf", root_key, "root", {.end = kNowSeconds - 1});
  const Certificate early = certificate(signer, "leaf", root_key, "root", {.begin = kNowSeconds + 1});
  const Certificate evil_root = certificate(signer, "root", signer, "root", authority);
  const Certificate no_authority = certificate(middle_key, "middle", root_key, "root");

  const auto roots = RootCertificates::parse_pem("our roots\n" + pem_of(root)).value();
  const auto middle_roots = RootCertificates::parse_pem(pem_of(middle)).value();
  const auto verify = [&](const json& x5c, const RootCertificates* given, const json& kid = nullptr) {
    json header = {{"alg", "ES256"}, {"x5c", x5c}};
    if (!kid.is_null()) header["kid"] = kid;
    VerifyOptions changed = options();
    changed.roots = given;
    const auto claims = verify_jwt(sign(signer, header.dump(), good_claims().dump()), keys().lookup(), changed);
    return claims ? "good" : claims.error().log_detail;
  };
  CHECK(verify(chain_of({&direct}), &roots) == "good");
  CHECK(verify(chain_of({&direct, &root}), &roots) == "good");
  CHECK(verify(chain_of({&leaf, &middle}), &roots) == "good");
  CHECK(verify(chain_of({&leaf}), &middle_roots) == "good");
  CHECK(verify(chain_of({&direct}), &roots, "a kid that nobody knows") == "good");

  const auto refused = [](const std::string& reason) { return reason.starts_with("chain_not_trusted"); };
  CHECK(verify(chain_of({&direct}), nullptr) == "key_id_missing");
  CHECK(verify(chain_of({&direct}), &roots, keys().ec.id()) == "signature_wrong");
  CHECK(refused(verify(chain_of({&leaf}), &roots)));
  CHECK(refused(verify(chain_of({&expired}), &roots)));
  CHECK(refused(verify(chain_of({&early}), &roots)));
  CHECK(refused(verify(chain_of({&evil_root}), &roots)));
  CHECK(refused(verify(chain_of({&leaf, &evil_root}), &roots)));
  CHECK(refused(verify(chain_of({&leaf, &no_authority}), &roots)));
  CHECK(refused(verify(json::array(), &roots)));
  CHECK(refused(verify("text", &roots)));
  CHECK(refused(verify(json::array({1}), &roots)));
  CHECK(refused(verify(json::array({"AAAA"}), &roots)));
  CHECK(refused(verify(chain_of({&direct, &root, &root, &root, &root, &root, &root, &root, &root}), &roots)));
  json trailing = chain_of({&direct});
  trailing[0] = encode_base64(as_bytes(der_of(direct) + "x"));
  CHECK(refused(verify(trailing, &roots)));
  // The chain is good, but it is of the middle's key, which did not sign.
  CHECK(verify(chain_of({&middle}), &roots) == "signature_wrong");

  CHECK_FALSE(RootCertificates::parse_pem(""));
  CHECK_FALSE(RootCertificates::parse_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
  CHECK_FALSE(RootCertificates::parse_pem(pem_of(root) + "-----BEGIN CERTIFICATE-----\nAAAA\n"));
  CHECK(KeySet::parse_pem(pem_of(direct))->find(signer.public_key().libtrust_id()) != nullptr);
  CHECK(ERR_peek_error() == 0);
}

}  // namespace berth::auth
