#include "auth/token_service.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "auth/account_name.h"
#include "auth/auth_metrics.h"
#include "auth/secrets.h"
#include "auth/token_access.h"
#include "registry/identities/identities.h"

namespace berth::auth {
namespace {

constexpr std::string_view kNameless = "berth";
/// Keys stay known for this long after their last token has run out: clocks differ.
constexpr std::chrono::seconds kKeyGrace{300};
constexpr std::chrono::seconds kRetiredMin{3600};

struct PublicUrl {
  std::string host;  ///< and port
  std::string base;  ///< without the final slash
};

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

/// Empty when there is none.
PublicUrl parse_url(std::string_view url) {
  while (url.ends_with('/')) url.remove_suffix(1);
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  const std::string_view rest = url.substr(scheme + 3);
  return {.host = lower_case(rest.substr(0, rest.find('/'))), .base = std::string(url)};
}

/// Can it stand in a challenge?
bool is_service(std::string_view text) {
  const auto challenge = BearerChallenge::make("https://berth/token", text);
  ignore(challenge);
  return challenge.has_value();
}

TokenOptions token_options(const TokenServiceOptions& options, const PublicUrl& url) {
  // Tokens are known by their keys; the name only has to stay the same.
  std::string issuer = !url.base.empty() ? url.base : options.service;
  return {.issuer = issuer.empty() ? std::string(kNameless) : std::move(issuer), .lifetime = options.lifetime};
}

KeyRing::Options ring_options(const TokenServiceOptions& options) {
  KeyRing::Options ring;
  ring.algorithm = parse_algorithm(options.algorithm).value_or(Algorithm::es256);
  ring.rotation = options.key_rotation;
  ring.retired_for = std::max(kRetiredMin, options.lifetime + kKeyGrace);
  return ring;
}

registry::SecretHash hash_of(std::string_view raw) {
  registry::SecretHash hash{};
  std::copy_n(reinterpret_cast<const std::byte*>(raw.data()), std::min(raw.size(), hash.size()), hash.begin());
  return hash;
}

/// The token's own times, without the leeway that other clocks have.
void narrow(Validity& validity, const Claims& claims) {
  validity.from(std::max(claims.issued_at, claims.not_before.value_or(claims.issued_at)));
  validity.until(claims.expires);
}

Error not_good(const char* why) {
  return make_error(ErrorCode::unauthorized, "the refresh token is not good", why);
}

}  // namespace

TokenService::TokenService(const TokenServiceOptions& options, std::string_view public_url, const Parts& parts)
    : options_(options),
      public_host_(parse_url(public_url).host),
      public_base_(parse_url(public_url).base),
      token_options_(token_options(options, parse_url(public_url))),
      parts_(parts),
      keys_(parts.identities, parts.pool, parts.clock, ring_options(options)),
      verifier_({.issuer = token_options_.issuer}) {}

Result<std::unique_ptr<TokenService>> TokenService::create(const TokenServiceOptions& options,
                                                           std::string_view public_url, const Parts& parts) {
  if (!parse_algorithm(options.algorithm)) {
    return make_error(ErrorCode::request_invalid, "tokens are signed with ES256, RS256 or EdDSA");
  }
  std::unique_ptr<TokenService> service(new TokenService(options, public_url, parts));
  if (options.outside) {
    BERTH_TRY(service->outside_, OutsideTokens::create(*options.outside));
    return service;
  }
  if (!options.realm.empty() && options.service.empty() && service->public_host_.empty()) {
    // It would be told apart by the Host header, which is another one there.
    return make_error(ErrorCode::request_invalid, "a token realm of its own needs the name of the service as well");
  }
  // What is set must do; what is made of a Host header is looked at when it comes.
  if (!options.realm.empty() || !service->public_base_.empty() || !options.service.empty()) {
    BERTH_CHECK(service->challenge({.host = "localhost", .secure = true}));
  }
  return service;
}

std::string TokenService::service(const RequestOrigin& origin) const {
  if (outside_ != nullptr) return outside_->challenge().service();
  if (!options_.service.empty()) return options_.service;
  std::string host = public_host_.empty() ? lower_case(origin.host) : public_host_;
  return is_service(host) ? host : std::string(kNameless);
}

Result<BearerChallenge> TokenService::challenge(const RequestOrigin& origin) const {
  if (outside_ != nullptr) return outside_->challenge();
  std::string realm = options_.realm;
  if (realm.empty()) {
    const std::string base = (origin.secure ? "https://" : "http://") + lower_case(origin.host);
    realm = (public_base_.empty() ? base : public_base_) + std::string(kTokenPath);
  }
  return BearerChallenge::make(realm, service(origin));
}

Task<std::shared_ptr<const VerifiedToken>> TokenService::verify(std::string token, RequestOrigin origin,
                                                                Validity* validity) {
  if (outside_ != nullptr) {
    auto verified = outside_->verify(token, parts_.clock.wall());
    if (verified && validity != nullptr) narrow(*validity, (*verified)->claims);
    co_return verified;
  }
  BERTH_CO_TRY(const TokenKeys::Ring ring, co_await keys_.current());
  const WallTime now = parts_.clock.wall();
  const auto find_key = [&ring, now](std::string_view id) { return ring->find(id, now); };
  auto verified = verifier_.verify(token, service(origin), find_key, now);
  if (verified && validity != nullptr) {
    narrow(*validity, (*verified)->claims);
    validity->until(ring->known_until((*verified)->claims.key_id));
  }
  co_return verified;
}

Task<TokenAnswer> TokenService::issue(Principal principal, std::shared_ptr<const Policy> policy, TokenWish wish) {
  TokenAnswer answer{.subject = principal.subject, .method = principal.method};
  BERTH_CO_TRY(answer.access, co_await make_access_token(principal, std::move(policy), wish));
  count_issued_token();
  if (wish.refresh_token && principal.may_refresh && options_.refresh_lifetime.count() > 0) {
    BERTH_CO_TRY(answer.refresh_token, co_await make_refresh_token(std::move(principal), std::move(wish)));
  }
  co_return answer;
}

Task<IssuedToken> TokenService::make_access_token(Principal principal, std::shared_ptr<const Policy> policy,
                                                  TokenWish wish) {
  BERTH_CO_TRY(const TokenKeys::Ring ring, co_await keys_.to_sign());
  const WallTime now = parts_.clock.wall();
  const SigningKey* key = ring->signer(now);
  const bool is_slow = key != nullptr && key->algorithm() == Algorithm::rs256;
  auto make = [options = token_options_, ring, policy = std::move(policy), principal = std::move(principal),
               wish = std::move(wish), now, &entropy = parts_.entropy] {
    const TokenRequest request{.subject = principal.subject,
                               .audience = wish.service,
                               .scopes = wish.scopes,
                               .method = principal.method,
                               .testimony = principal.testimony,
                               .until = principal.vouched_until};
    return issue_token(options, *ring, request, granted_by(*policy, principal), now, entropy);
  };
  if (is_slow) co_return co_await offload(parts_.pool, std::move(make));
  co_return make();
}

Task<std::string> TokenService::make_refresh_token(Principal principal, TokenWish wish) {
  Secret secret = make_secret(SecretKind::refresh, parts_.entropy);
  registry::NewCredential wanted{.hash = hash_of(secret.hash),
                                 .name = "refresh token",
                                 .service = std::move(wish.service),
                                 .client_id = std::move(wish.client_id),
                                 .expires_at = parts_.clock.wall() + options_.refresh_lifetime};
  const registry::Actor actor = principal.as_actor("token");
  auto stored = co_await parts_.identities.issue_refresh_token(actor, std::move(principal.subject),
                                                               registry::OwnerOrigin::local, std::move(wanted));
  if (!stored) co_return std::move(stored).error();
  co_return std::move(secret.text);
}

Task<std::shared_ptr<const VerifiedToken>> TokenService::redeem(std::string refresh_token, std::string service) {
  if (parse_secret(refresh_token) != SecretKind::refresh) co_return not_good("no_refresh_token");
  BERTH_CO_TRY(const auto found, co_await parts_.identities.find_credential(hash_of(hash_secret(refresh_token))));
  if (!found || found->kind != registry::CredentialKind::refresh_token) co_return not_good("refresh_token_unknown");
  const WallTime now = parts_.clock.wall();
  if (found->expires_at != WallTime{} && found->expires_at <= now) co_return not_good("refresh_token_expired");
  // They are given to berth's own users alone; see Principal::may_refresh.
  if (!found->owner.starts_with("user:")) co_return not_good("refresh_token_of_no_user");
  // A token for one name of a registry is no use under another.
  if (found->service != service) co_return not_good("refresh_token_of_another_service");
  parts_.identities.note_use(*found);
  auto token = std::make_shared<VerifiedToken>();
  token->subject = found->owner;
  token->method = kRefreshMethod;
  token->claims.issued_at = found->created_at;
  co_return std::shared_ptr<const VerifiedToken>(std::move(token));
}

Task<std::string> TokenService::published_keys() {
  BERTH_CO_TRY(const TokenKeys::Ring ring, co_await keys_.to_sign());
  co_return ring->jwks(parts_.clock.wall());
}

}  // namespace berth::auth
