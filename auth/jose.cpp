#include "auth/jose.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "auth/certificates.h"
#include "base/base64.h"
#include "base/strict_json.h"

namespace berth::auth {
namespace {

using nlohmann::json;

constexpr std::size_t kIdSizeMax = 1024;
constexpr std::size_t kAudiencesMax = 64;
/// The end of the year 9999: what is later is a mistake, and would overflow.
constexpr double kSecondsMax = 253'402'300'799;

/// One word for the log and for tests, one sentence for the client.
Error refuse(const char* reason, const char* sentence) {
  return make_error(ErrorCode::unauthorized, sentence, reason);
}

struct Parts {
  std::string_view header;
  std::string_view payload;
  std::string_view signature;
  std::string_view signed_text;  ///< header and payload with the dot between
};

Result<Parts> split(std::string_view token) {
  const std::size_t first = token.find('.');
  const std::size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) {
    return refuse("not_three_parts", "a token has three parts, joined by dots");
  }
  return Parts{.header = token.substr(0, first),
               .payload = token.substr(first + 1, second - first - 1),
               .signature = token.substr(second + 1),
               .signed_text = token.substr(0, second)};
}

/// A text member; null when it is missing or no text.
const std::string* text_of(const json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_string()) return nullptr;
  return &member->get_ref<const std::string&>();
}

/// RFC 7515 §4.1.9: media types without case; the prefix "application/" may be left out.
bool is_token_type(std::string type) {
  for (char& c : type) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return type == "jwt" || type == "application/jwt" || type == "at+jwt" || type == "application/at+jwt";
}

struct Header {
  Algorithm algorithm = Algorithm::es256;
  std::string key_id;
  json all;
};

Result<Header> read_header(std::string_view encoded, const VerifyOptions& options) {
  const auto text = decode_base64url(encoded);
  if (!text) return refuse("header_encoding", "the token's header is not base64url");
  auto parsed = parse_strict_json(*text, 4);
  if (!parsed) return refuse("header_json", "the token's header is not one JSON object that can be read in one way only");
  if (!parsed->is_object()) return refuse("header_not_object", "the token's header is not a JSON object");
  Header header;
  header.all = *std::move(parsed);

  const std::string* algorithm = text_of(header.all, "alg");
  if (algorithm == nullptr) return refuse("algorithm_missing", "the token's header names no algorithm");
  const auto equals_none = [](char left, char right) { return (left | 0x20) == right; };
  constexpr std::string_view kNone = "none";
  if (std::equal(algorithm->begin(), algorithm->end(), kNone.begin(), kNone.end(), equals_none)) {
    return refuse("algorithm_none", "an unsigned token is not accepted");
  }
  if (algorithm->starts_with("HS")) return refuse("algorithm_symmetric", "tokens signed with a shared secret are not accepted");
  const auto known = parse_algorithm(*algorithm);
  if (!known) return refuse("algorithm_unknown", "the token's algorithm is not supported");
  if (std::find(options.algorithms.begin(), options.algorithms.end(), *known) == options.algorithms.end()) {
    return refuse("algorithm_not_allowed", "the token's algorithm is not accepted here");
  }
  header.algorithm = *known;

  // RFC 7515 §4.1.11: berth understands no extension, so it must refuse whatever is critical.
  if (header.all.contains("crit")) return refuse("critical_extension", "the token needs an extension that is not supported");
  if (header.all.contains("typ")) {
    const std::string* type = text_of(header.all, "typ");
    if (type == nullptr || !is_token_type(*type)) return refuse("wrong_type", "the token is of another type");
  }
  if (header.all.contains("kid")) {
    const std::string* id = text_of(header.all, "kid");
    if (id == nullptr || id->empty() || id->size() > kIdSizeMax) return refuse("key_id_malformed", "the token's key id is not a text");
    header.key_id = *id;
  }
  return header;
}

/// The key that must have signed; `chained` holds it when it comes out of the token's own chain.
Result<const VerificationKey*> find_key_of(const Header& header, const KeyLookup& find_key, const VerifyOptions& options,
                                           std::optional<VerificationKey>& chained) {
  if (!header.key_id.empty()) {
    if (const VerificationKey* key = find_key(header.key_id)) return key;
  }
  if (options.roots != nullptr && header.all.contains("x5c")) {
    auto key = options.roots->verify_chain(header.all.at("x5c"), options.now);
    if (!key) {
      Error error = refuse("chain_not_trusted", "the token's certificate chain is not trusted");
      error.log_detail += ": " + key.error().message;
      return error;
    }
    chained = *std::move(key);
    return &*chained;
  }
  if (header.key_id.empty()) return refuse("key_id_missing", "the token names no key");
  return refuse("key_unknown", "the token is signed with a key that is not known here");
}

/// RFC 7519 §2, NumericDate: seconds since 1970, perhaps with a fraction.
std::optional<WallTime> time_of(const json& value) {
  if (!value.is_number()) return std::nullopt;
  const auto seconds = value.get<double>();
  if (!(seconds >= 0 && seconds <= kSecondsMax)) return std::nullopt;
  return WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(std::floor(seconds * 1000))));
}

Result<std::vector<std::string>> audiences_of(const json& payload) {
  const auto malformed = [] { return refuse("audience_malformed", "the token's audience is neither a text nor a list of texts"); };
  const auto member = payload.find("aud");
  if (member == payload.end()) return refuse("audience_missing", "the token has no audience");
  if (member->is_string()) return std::vector{member->get<std::string>()};
  if (!member->is_array() || member->empty() || member->size() > kAudiencesMax) return malformed();
  std::vector<std::string> audiences;
  for (const json& element : *member) {
    if (!element.is_string()) return malformed();
    audiences.push_back(element.get<std::string>());
  }
  return audiences;
}

bool any_of(const std::vector<std::string>& wanted, const std::vector<std::string>& present) {
  return std::any_of(wanted.begin(), wanted.end(), [&present](const std::string& one) {
    return std::find(present.begin(), present.end(), one) != present.end();
  });
}

Result<Claims> read_claims(std::string_view encoded) {
  const auto text = decode_base64url(encoded);
  if (!text) return refuse("payload_encoding", "the token's claims are not base64url");
  auto parsed = parse_strict_json(*text);
  if (!parsed) return refuse("payload_json", "the token's claims are not one JSON object that can be read in one way only");
  if (!parsed->is_object()) return refuse("payload_not_object", "the token's claims are not a JSON object");
  auto all = std::make_shared<const json>(*std::move(parsed));
  const json& payload = *all;

  Claims claims;
  if (!payload.contains("iss")) return refuse("issuer_missing", "the token has no issuer");
  const std::string* issuer = text_of(payload, "iss");
  if (issuer == nullptr) return refuse("issuer_malformed", "the token's issuer is not a text");
  claims.issuer = *issuer;
  if (!payload.contains("sub")) return refuse("subject_missing", "the token has no subject");
  const std::string* subject = text_of(payload, "sub");
  if (subject == nullptr) return refuse("subject_malformed", "the token's subject is not a text");
  claims.subject = *subject;
  BERTH_TRY(claims.audiences, audiences_of(payload));
  if (payload.contains("jti")) {
    const std::string* id = text_of(payload, "jti");
    if (id == nullptr || id->size() > kIdSizeMax) return refuse("token_id_malformed", "the token's id is not a text");
    claims.token_id = *id;
  }

  if (!payload.contains("exp")) return refuse("expiry_missing", "the token has no time of expiry");
  const auto expires = time_of(payload.at("exp"));
  if (!expires) return refuse("expiry_malformed", "the token's time of expiry is no time");
  claims.expires = *expires;
  if (!payload.contains("iat")) return refuse("issued_at_missing", "the token has no time of issue");
  const auto issued = time_of(payload.at("iat"));
  if (!issued) return refuse("issued_at_malformed", "the token's time of issue is no time");
  claims.issued_at = *issued;
  if (payload.contains("nbf")) {
    claims.not_before = time_of(payload.at("nbf"));
    if (!claims.not_before) return refuse("not_before_malformed", "the token's start is no time");
  }
  claims.all = std::move(all);
  return claims;
}

}  // namespace

Result<void> check_times(const Claims& claims, WallTime now, std::chrono::seconds leeway) {
  if (now >= claims.expires + leeway) return refuse("expired", "the token has expired");
  if (claims.not_before && now + leeway < *claims.not_before) return refuse("not_yet_valid", "the token is not valid yet");
  if (now + leeway < claims.issued_at) return refuse("issued_in_future", "the token was issued in the future");
  return {};
}

Result<Claims> verify_jwt(std::string_view token, const KeyLookup& find_key, const VerifyOptions& options) {
  if (token.size() > options.size_max) return refuse("too_large", "the token is too large");
  BERTH_TRY(const Parts parts, split(token));
  BERTH_TRY(const Header header, read_header(parts.header, options));
  std::optional<VerificationKey> chained;
  BERTH_TRY(const VerificationKey* key, find_key_of(header, find_key, options, chained));
  if (key->algorithm() != header.algorithm) {
    return refuse("algorithm_not_of_key", "the token's algorithm is not that of its key");
  }
  const auto signature = decode_base64url(parts.signature);
  if (!signature) return refuse("signature_encoding", "the token's signature is not base64url");
  if (!key->verify(parts.signed_text, *signature)) return refuse("signature_wrong", "the token's signature is wrong");

  // From here on the token says what its issuer said.
  BERTH_TRY(Claims claims, read_claims(parts.payload));
  if (std::find(options.issuers.begin(), options.issuers.end(), claims.issuer) == options.issuers.end()) {
    return refuse("issuer_wrong", "the token is from another issuer");
  }
  if (!any_of(options.audiences, claims.audiences)) return refuse("audience_wrong", "the token is for another audience");
  BERTH_CHECK(check_times(claims, options.now, options.leeway));
  claims.key_id = key->id();
  return claims;
}

}  // namespace berth::auth
