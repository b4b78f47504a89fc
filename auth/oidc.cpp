#include "auth/oidc.h"

#include <spdlog/fmt/fmt.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>

#include "auth/account_name.h"
#include "auth/issuer_keys.h"
#include "auth/jose.h"
#include "base/base64.h"
#include "base/strict_json.h"

namespace berth::auth {
namespace {

constexpr std::size_t kTokenBytesMax = 16 << 10;

Error refuse(std::string sentence) { return make_error(ErrorCode::request_invalid, std::move(sentence)); }

Error not_accepted(std::string why) {
  return make_error(ErrorCode::unauthorized, "the token is not accepted", std::move(why));
}

/// What says where the keys are. It is not to be trusted before the signature is checked with them.
struct Claimed {
  std::string issuer;
  std::string key_id;
};

/// A text member of an encoded part of a token; nothing when there is none.
std::optional<std::string> peek(std::string_view encoded, const char* name) {
  const auto text = decode_base64url(encoded);
  if (!text) return std::nullopt;
  const auto object = parse_strict_json(*text);
  if (!object || !object->is_object() || !object->contains(name) || !object->at(name).is_string()) return std::nullopt;
  return object->at(name).get<std::string>();
}

Result<Claimed> peek(std::string_view token) {
  if (token.size() > kTokenBytesMax) return not_accepted("it is too large");
  const auto first = token.find('.');
  const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos) return not_accepted("it is no token");
  auto issuer = peek(token.substr(first + 1, second - first - 1), "iss");
  if (!issuer) return not_accepted("it names no issuer");
  auto key_id = peek(token.substr(0, first), "kid");
  if (!key_id) return not_accepted("it names no key");
  return Claimed{*std::move(issuer), *std::move(key_id)};
}

Result<void> check_url(std::string_view url, bool allow_http, std::string_view what) {
  const bool https = url.starts_with("https://");
  if (!https && !(allow_http && url.starts_with("http://")))
    return refuse(fmt::format("{} {} is not an https:// URL", what, url));
  const auto host = url.substr(https ? 8 : 7);
  if (host.empty() || host.starts_with('/') || host.find_first_of(" #@\\") != std::string_view::npos)
    return refuse(fmt::format("{} {} is no URL that can be asked", what, url));
  return {};
}

IssuerKeysOptions keys_options(const OidcIssuer& issuer) {
  IssuerKeysOptions keys;
  keys.name = issuer.name;
  keys.issuer = issuer.issuer;
  keys.jwks_url = issuer.jwks_url;
  keys.ca_file = issuer.ca_file;
  keys.token_file = issuer.token_file;
  keys.reach = issuer.reach;
  keys.allow_http = issuer.allow_http;
  keys.timeout = issuer.timeout;
  return keys;
}

}  // namespace

Result<void> check_oidc_issuer(const OidcIssuer& issuer) {
  if (account_name(issuer.name) != issuer.name)
    return refuse(fmt::format("\"{}\" is no name of an issuer", issuer.name));
  if (issuer.name == "outside") return refuse("an issuer cannot be called outside: so is the outside token server");
  const auto named = [&issuer](const Result<void>& found) -> Result<void> {
    if (found) return {};
    return refuse(fmt::format("the issuer {}: {}", issuer.name, found.error().message));
  };
  BERTH_CHECK(named(check_url(issuer.issuer, issuer.allow_http, "its address")));
  if (issuer.issuer.find('?') != std::string::npos) return named(refuse("its address has a query"));
  if (!issuer.jwks_url.empty()) BERTH_CHECK(named(check_url(issuer.jwks_url, issuer.allow_http, "jwks_url")));
  if (issuer.audiences.empty()) return named(refuse("it has no audience: tokens that were meant for others would do"));
  for (const auto& audience : issuer.audiences)
    if (audience.empty()) return named(refuse("an audience is empty"));
  if (issuer.rules.empty()) return named(refuse("it has no rules: nobody could come in"));
  if (issuer.rules.size() > kRulesMax) return named(refuse(fmt::format("it has more than {} rules", kRulesMax)));
  for (const auto& rule : issuer.rules) BERTH_CHECK(named(check_rule(rule, issuer.name)));
  if (issuer.timeout.count() <= 0) return named(refuse("its time-out is not positive"));
  if (issuer.leeway.count() < 0) return named(refuse("its leeway is negative"));
  return {};
}

Task<void> try_issuer(OidcIssuer issuer, HttpClient& http, Pool& pool, const Clock& clock) {
  const auto keys = std::make_shared<IssuerKeys>(keys_options(issuer), http, pool, clock);
  auto fetched = co_await keys->fetch({});
  if (!fetched) co_return std::move(fetched).error();
  co_return Result<void>{};
}

Result<std::unique_ptr<OidcFederation>> OidcFederation::create(std::vector<OidcIssuer> issuers, HttpClient& http,
                                                               Pool& pool, const Clock& clock) {
  if (issuers.size() > kOidcIssuersMax) return refuse(fmt::format("more than {} issuers", kOidcIssuersMax));
  std::unique_ptr<OidcFederation> federation(new OidcFederation(clock));
  std::set<std::string> names;
  for (auto& issuer : issuers) {
    BERTH_CHECK(check_oidc_issuer(issuer));
    if (!names.insert(issuer.name).second) return refuse(fmt::format("two issuers are called {}", issuer.name));
    auto keys = keys_options(issuer);
    const std::string url = issuer.issuer;
    Issuer made{.options = std::move(issuer), .keys = std::make_shared<IssuerKeys>(std::move(keys), http, pool, clock)};
    if (!federation->issuers_.emplace(url, std::move(made)).second)
      return refuse(fmt::format("two issuers have the address {}", url));
  }
  return federation;
}

OidcFederation::~OidcFederation() { stop(); }

void OidcFederation::stop() {
  for (auto& [url, issuer] : issuers_) issuer.keys->stop();
}

Task<FederatedIdentity> OidcFederation::authenticate(std::string jwt, trace::Parent trace) const {
  BERTH_CO_TRY(auto claimed, peek(jwt));
  const auto found = issuers_.find(claimed.issuer);
  if (found == issuers_.end()) co_return not_accepted("its issuer is not one of those set up");
  const Issuer& issuer = found->second;
  BERTH_CO_TRY(auto keys, co_await issuer.keys->find(claimed.key_id, std::move(trace)));
  VerifyOptions options;
  options.issuers = {issuer.options.issuer};
  options.audiences = issuer.options.audiences;
  options.now = clock_.wall();
  options.leeway = issuer.options.leeway;
  options.size_max = kTokenBytesMax;
  const auto look_up = [&keys](std::string_view id) { return keys->find(id); };
  auto claims = verify_jwt(jwt, look_up, options);
  if (!claims) {
    Error error = std::move(claims).error();
    error.log_detail = fmt::format("token of the issuer {}: {}", issuer.options.name, error.log_detail);
    co_return error;
  }
  BERTH_CO_TRY(auto identity, apply_rules(issuer.options.rules, issuer.options.name, *claims->all));
  identity.expires = claims->expires;
  co_return identity;
}

}  // namespace berth::auth
