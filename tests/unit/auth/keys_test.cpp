#include "auth/keys.h"

#include <openssl/err.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>

#include "base/base64.h"

namespace berth::auth {
namespace {

using nlohmann::json;

// RFC 7515 A.2 (RSA), A.3 (P-256), A.4 (P-521); RFC 8037 A.2; RFC 7638 §3.1.
constexpr const char* kRsaA2 =
    R"({"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"})";
constexpr const char* kEcA3 =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";
constexpr const char* kEcA4 =
    R"({"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"})";
constexpr const char* kEdA2 = R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})";
constexpr const char* kRsa7638 =
    R"({"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"})";

constexpr const char* kPayload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
constexpr const char* kSignatureA2 =
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZ"
    "cAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-e"
    "OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
constexpr const char* kSignatureA3 = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
constexpr const char* kSignatureEd = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
constexpr const char* kTextEd = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";

/// `text` with `member` replaced, or removed when `value` is null.
json with(const char* text, const char* member, const json& value) {
  json jwk = json::parse(text);
  jwk[member] = value;
  if (value.is_null()) jwk.erase(member);
  return jwk;
}

std::string decoded(const char* text) { return decode_base64url(text).value(); }

}  // namespace

TEST_CASE("the standards' signatures are good, and no others") {
  struct Row {
    const char* name;
    const char* jwk;
    std::string text;
    const char* signature;
  };
  const Row rows[] = {
      {"RFC 7515 A.2", kRsaA2, std::string("eyJhbGciOiJSUzI1NiJ9.") + kPayload, kSignatureA2},
      {"RFC 7515 A.3", kEcA3, std::string("eyJhbGciOiJFUzI1NiJ9.") + kPayload, kSignatureA3},
      {"RFC 8037 A.5", kEdA2, kTextEd, kSignatureEd},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto key = VerificationKey::from_jwk(json::parse(row.jwk)).value();
    const std::string signature = decoded(row.signature);
    CHECK(key.verify(row.text, signature));
    CHECK_FALSE(key.verify(row.text + ' ', signature));
    CHECK_FALSE(key.verify(row.text, ""));
    CHECK_FALSE(key.verify(row.text, signature + '\0'));
    CHECK_FALSE(key.verify(row.text, signature.substr(1)));
    CHECK_FALSE(key.verify(row.text, std::string(signature.size(), '\0')));
    CHECK_FALSE(key.verify(row.text, std::string(signature.size(), '\xff')));
    for (std::size_t i = 0; i < signature.size(); i += 7) {
      std::string other = signature;
      other[i] = static_cast<char>(other[i] ^ 1);
      CHECK_FALSE(key.verify(row.text, other));
    }
    // What failed is not left for others on this thread to find.
    CHECK(ERR_peek_error() == 0);
  }
}

TEST_CASE("thumbprints and ids") {
  const auto rsa = VerificationKey::from_jwk(json::parse(kRsa7638)).value();
  CHECK(rsa.thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");  // RFC 7638 §3.1
  CHECK(rsa.id() == "2011-04-29");
  const auto ed = VerificationKey::from_jwk(json::parse(kEdA2)).value();
  CHECK(ed.thumbprint() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");  // RFC 8037 A.3
  CHECK(ed.id() == ed.thumbprint());
  CHECK(ed.with_id("other").id() == "other");
  CHECK(rsa.algorithm() == Algorithm::rs256);
  CHECK(ed.algorithm() == Algorithm::eddsa);
  CHECK(VerificationKey::from_jwk(json::parse(kEcA3))->libtrust_id() == "FPI3:WDCE:VCL4:GCT2:UCMR:ZXRY:3ADC:7ZCB:3ZIN:UD2G:QJJU:J5QC");
}

TEST_CASE("a JWK that cannot check signatures is refused, with the reason") {
  struct Row {
    const char* name;
    json jwk;
    const char* says;
  };
  const std::string zeros43(43, 'A');
  std::string big_n = "f";
  big_n.append(1403, '_');
  const Row rows[] = {
      {"RFC 7515 A.4: P-521", json::parse(kEcA4), "only P-256"},
      {"no object", json::array(), "a JWK is a JSON object"},
      {"no type", with(kEcA3, "kty", nullptr), "of no kind"},
      {"symmetric", json::parse(R"({"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"})"), "secret"},
      {"private", with(kEcA3, "d", "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"), "secret"},
      {"type confusion", with(kEcA3, "kty", "RSA"), "n and e"},
      {"off the curve", with(kEcA3, "y", zeros43), "no point"},
      {"x too long", with(kEcA3, "x", "AH_NzidwNsRdQYPL7m_bS3tYBzM1e-nvE7rPbjx70VRF"), "32 bytes each"},
      {"x too short", with(kEcA3, "x", "f83O"), "32 bytes each"},
      {"x padded", with(kEcA3, "x", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU="), "32 bytes each"},
      {"x is a number", with(kEcA3, "x", 5), "32 bytes each"},
      {"no y", with(kEcA3, "y", nullptr), "32 bytes each"},
      {"RSA of 1024 bits", with(kRsaA2, "n", json::parse(kRsaA2)["n"].get<std::string>().substr(0, 172)), "at least 2048"},
      {"RSA beyond 8192 bits", with(kRsaA2, "n", big_n), "too large"},
      {"RSA with a leading zero", with(kRsaA2, "e", "AAEAAQ"), "leading zeros"},
      {"RSA with an even exponent", with(kRsaA2, "e", "AQAC"), "odd"},
      {"RSA with exponent one", with(kRsaA2, "e", "AQ"), "odd"},
      {"RSA with a huge exponent", with(kRsaA2, "e", "AQAAAAE"), "too large"},
      {"RSA without e", with(kRsaA2, "e", nullptr), "n and e"},
      {"another octet key pair", with(kEdA2, "crv", "X25519"), "only Ed25519"},
      {"Ed25519 too short", with(kEdA2, "x", "11qYAYKx"), "32 bytes"},
      {"for encryption", with(kEcA3, "use", "enc"), "not meant"},
      {"use of another type", with(kEcA3, "use", 1), "not meant"},
      {"of another algorithm", with(kRsaA2, "alg", "RS512"), "not meant"},
      {"RSA-PSS", with(kRsaA2, "alg", "PS256"), "not meant"},
      {"for signing only", with(kEcA3, "key_ops", json::array({"sign"})), "not meant"},
      {"operations are no list", with(kEcA3, "key_ops", "verify"), "not meant"},
      {"id is no text", with(kEcA3, "kid", 1), "kid"},
      {"id too long", with(kEcA3, "kid", std::string(513, 'k')), "kid"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto key = VerificationKey::from_jwk(row.jwk);
    REQUIRE_FALSE(key);
    CHECK(key.error().code == ErrorCode::request_invalid);
    CHECK_THAT(key.error().message, Catch::Contains(row.says));
    CHECK(ERR_peek_error() == 0);
  }
  CHECK(VerificationKey::from_jwk(with(kEcA3, "use", "sig")));
  CHECK(VerificationKey::from_jwk(with(kEcA3, "alg", "ES256")));
  CHECK(VerificationKey::from_jwk(with(kEcA3, "key_ops", json::array({"sign", "verify"}))));
  CHECK(VerificationKey::from_jwk(with(kEcA3, "x5c", "not looked at")));
}

TEST_CASE("keys sign, are stored and published") {
  for (const Algorithm algorithm : {Algorithm::es256, Algorithm::rs256, Algorithm::eddsa}) {
    INFO(to_string(algorithm));
    CHECK(parse_algorithm(to_string(algorithm)) == algorithm);
    const SigningKey key = SigningKey::generate(algorithm).value();
    CHECK(key.algorithm() == algorithm);
    CHECK(key.id() == key.public_key().thumbprint());
    const std::string signature = key.sign("text").value();
    CHECK(key.public_key().verify("text", signature));
    CHECK_FALSE(key.public_key().verify("Text", signature));

    const std::string der = key.to_pkcs8();
    const SigningKey again = SigningKey::from_pkcs8(der).value();
    CHECK(again.id() == key.id());
    CHECK(key.public_key().verify("text", again.sign("text").value()));
    CHECK(SigningKey::from_pkcs8(der + '\0').failed_with(ErrorCode::corrupt));
    CHECK(SigningKey::from_pkcs8(der.substr(0, der.size() - 1)).failed_with(ErrorCode::corrupt));

    const KeySet set = KeySet::parse_jwks(jwks_text({key.public_key()})).value();
    REQUIRE(set.find(key.id()) != nullptr);
    CHECK(set.find(key.id())->verify("text", signature));
    CHECK(set.find("other") == nullptr);

    const std::string token = key.sign_jwt("{}").value();
    const auto header = json::parse(decoded(token.substr(0, token.find('.')).c_str()));
    CHECK(header == json({{"alg", to_string(algorithm)}, {"kid", key.id()}, {"typ", "JWT"}}));
  }
  CHECK(SigningKey::from_pkcs8("").failed_with(ErrorCode::corrupt));
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("Ed25519 signs as the standard does") {
  // RFC 8037 A.1 in PKCS #8.
  const std::string der = decode_base64("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g").value();
  const SigningKey key = SigningKey::from_pkcs8(der).value();
  CHECK(key.id() == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  CHECK(encode_base64url(as_bytes(key.sign(kTextEd).value())) == kSignatureEd);
}

TEST_CASE("ES256 signatures have 64 bytes, also when a number is small") {
  const SigningKey key = SigningKey::generate(Algorithm::es256).value();
  bool small = false;
  for (int i = 0; i < 2000 && !small; ++i) {
    const std::string signature = key.sign("text").value();
    REQUIRE(signature.size() == 64);
    small = signature[0] == '\0' || signature[32] == '\0';
    REQUIRE(key.public_key().verify("text", signature));
  }
  CHECK(small);
}

TEST_CASE("key sets") {
  const std::string ec = kEcA3;
  const std::string enc = with(kEcA3, "use", "enc").dump();
  const std::string p521 = kEcA4;
  CHECK(KeySet::parse_jwks("{\"keys\":[" + ec + "," + enc + "," + p521 + "]}")->size() == 1);
  struct Row {
    const char* name;
    std::string text;
    const char* says;
  };
  std::string many;
  for (int i = 0; i < 33; ++i) many += (i == 0 ? "" : ",") + with(kEcA3, "kid", std::to_string(i)).dump();
  const Row rows[] = {
      {"no JSON", "keys", "cannot be read"},
      {"a list", "[]", "an object with a list"},
      {"no keys", "{}", "an object with a list"},
      {"keys is an object", R"({"keys":{}})", "an object with a list"},
      {"empty", R"({"keys":[]})", "no key that can be used"},
      {"none can be used", "{\"keys\":[" + p521 + "]}", "only P-256"},
      {"a key is no object", R"({"keys":[1]})", "a JWK is a JSON object"},
      {"an id twice", "{\"keys\":[" + ec + "," + ec + "]}", "same id"},
      {"a member twice", R"({"keys":[{"kty":"EC","kty":"RSA"}]})", "\"kty\" twice"},
      {"a private key", "{\"keys\":[" + ec + "," + with(kEcA3, "d", "x").dump() + "]}", "secret"},
      {"too many", "{\"keys\":[" + many + "]}", "more than 32"},
      {"too large", std::string(70'000, ' ') + "{\"keys\":[" + ec + "]}", "64 KiB"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto set = KeySet::parse_jwks(row.text);
    REQUIRE_FALSE(set);
    CHECK_THAT(set.error().message, Catch::Contains(row.says));
  }
}

TEST_CASE("keys in PEM are found by both kinds of id") {
  // The public key of RFC 7515 A.3.
  const std::string pem =
      "-----BEGIN PUBLIC KEY-----\n"
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
      "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
      "-----END PUBLIC KEY-----\n";
  const auto key = VerificationKey::from_pem(pem).value();
  CHECK(key.thumbprint() == VerificationKey::from_jwk(json::parse(kEcA3))->thumbprint());
  const KeySet set = KeySet::parse_pem("a comment\n" + pem + pem).value();
  CHECK(set.size() == 2);
  CHECK(set.find(key.id()) != nullptr);
  CHECK(set.find(key.libtrust_id()) != nullptr);
  CHECK_FALSE(KeySet::parse_pem(""));
  CHECK_FALSE(KeySet::parse_pem(pem.substr(0, 60)));
  CHECK_FALSE(KeySet::parse_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"));
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("bench: what a signature costs", "[.bench]") {
  for (const Algorithm algorithm : {Algorithm::es256, Algorithm::rs256, Algorithm::eddsa}) {
    const SigningKey key = SigningKey::generate(algorithm).value();
    const std::string token = key.sign_jwt(R"({"iss":"berth","access":[]})").value();
    const std::string text = token.substr(0, token.rfind('.'));
    const std::string signature = decoded(token.substr(token.rfind('.') + 1).c_str());
    const auto time = [&](const char* what, int runs, const auto& run) {
      const std::clock_t start = std::clock();  // of the processor: other work on the machine does not count
      for (int i = 0; i < runs; ++i) run();
      const double took = 1e6 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      std::printf("%s %-8s %9.1f us\n", std::string(to_string(algorithm)).c_str(), what, took / runs);
    };
    time("sign", 200, [&] { ignore(key.sign(text)); });
    time("verify", 2000, [&] { (void)key.public_key().verify(text, signature); });
  }
}

}  // namespace berth::auth
