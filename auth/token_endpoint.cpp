#include "auth/token_endpoint.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "auth/auth_metrics.h"

namespace berth::auth {
namespace {

using nlohmann::json;

constexpr std::size_t kClientIdSizeMax = 255;
constexpr std::string_view kExchange = "urn:ietf:params:oauth:grant-type:token-exchange";
constexpr std::string_view kAccessTokenType = "urn:ietf:params:oauth:token-type:access_token";
constexpr std::string_view kJwtType = "urn:ietf:params:oauth:token-type:jwt";
constexpr std::string_view kIdTokenType = "urn:ietf:params:oauth:token-type:id_token";

/// All that is looked at. Only `scope` may come twice: whoever reads the first and whoever reads the last of the others
/// would see another request.
constexpr std::string_view kKnown[] = {"service",       "scope",         "account",
                                       "client_id",     "offline_token", "access_type",
                                       "grant_type",    "username",      "password",
                                       "refresh_token", "subject_token", "subject_token_type",
                                       "actor_token",   "audience",      "requested_token_type"};
constexpr std::string_view kSecrets[] = {"password", "refresh_token", "subject_token"};

Error refuse(std::string message, std::string_view word = "invalid_request") {
  return make_error(ErrorCode::request_invalid, std::move(message), std::string(word));
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

/// The parameters by name. One without a value counts as absent (RFC 6749 §3.2).
class Parameters {
 public:
  static Result<Parameters> read(const std::vector<std::pair<std::string, std::string>>& items) {
    Parameters parameters;
    for (const auto& [name, value] : items) {
      const auto* known = std::find(std::begin(kKnown), std::end(kKnown), name);
      if (known == std::end(kKnown)) continue;
      if (name == "scope") {
        BERTH_CHECK(in_words(parse_scopes(value, parameters.scopes_)));
        continue;
      }
      auto& place = parameters.values_[static_cast<std::size_t>(known - std::begin(kKnown))];
      if (place) return refuse("the parameter " + name + " comes twice");
      place = value;
    }
    return parameters;
  }

  /// Empty when there is none. `name` is one of kKnown.
  const std::string& operator[](std::string_view name) const {
    static const std::string kNone;
    const auto* known = std::find(std::begin(kKnown), std::end(kKnown), name);
    const auto& place = values_[static_cast<std::size_t>(known - std::begin(kKnown))];
    return place ? *place : kNone;
  }
  const std::vector<Scope>& scopes() const { return scopes_; }

 private:
  static Result<void> in_words(Result<void> parsed) {
    if (parsed) return parsed;
    return refuse(parsed.error().message, "invalid_scope");
  }
  std::optional<std::string> values_[std::size(kKnown)];
  std::vector<Scope> scopes_;
};

Result<TokenWish> wish_of(const Parameters& parameters, const std::string& service) {
  // RFC 8693 calls it audience; distribution's clients always say service.
  for (const std::string_view name : {"service", "audience"}) {
    if (!parameters[name].empty() && parameters[name] != service) {
      return refuse("tokens for that " + std::string(name) + " are not made here", "invalid_target");
    }
  }
  const std::string& client = parameters["client_id"];
  if (client.size() > kClientIdSizeMax || !is_printable(client)) {
    return refuse("client_id is not up to 255 printable characters");
  }
  return TokenWish{.service = service,
                   .scopes = parameters.scopes(),
                   .client_id = client,
                   .refresh_token = parameters["offline_token"] == "true" || parameters["access_type"] == "offline"};
}

Task<Principal> by_password(Logins& logins, const Parameters& parameters, const TokenQuestion& question) {
  std::string user = parameters["username"], password = parameters["password"];
  if (user.empty() || password.empty()) co_return refuse("the grant type password needs username and password");
  co_return co_await logins.identify_password(std::move(user), std::move(password), question.peer, question.trace);
}

Task<Principal> by_refresh_token(TokenService& tokens, Logins& logins, const Parameters& parameters,
                                 std::string service) {
  std::string text = parameters["refresh_token"];
  if (text.empty()) co_return refuse("the grant type refresh_token needs refresh_token");
  BERTH_CO_TRY(const auto token, co_await tokens.redeem(std::move(text), std::move(service)));
  BERTH_CO_TRY(Principal principal, co_await logins.principal_of(token));
  // It stands for its owner, not for one token's access; and it begets no other.
  principal.ceiling.reset();
  principal.method = token->method;
  principal.may_refresh = false;
  co_return principal;
}

Task<Principal> by_exchange(Logins& logins, const Parameters& parameters, const TokenQuestion& question) {
  std::string jwt = parameters["subject_token"];
  const std::string& type = parameters["subject_token_type"];
  if (jwt.empty() || type.empty()) co_return refuse("a token exchange needs subject_token and subject_token_type");
  if (type != kJwtType && type != kIdTokenType) co_return refuse("only a JWT of an issuer that is set up is exchanged");
  if (!parameters["actor_token"].empty()) co_return refuse("nobody acts for somebody else here");
  const std::string& wanted = parameters["requested_token_type"];
  if (!wanted.empty() && wanted != kAccessTokenType && wanted != kJwtType) {
    co_return refuse("only access tokens are made here");
  }
  BERTH_CO_TRY(Principal principal, co_await logins.identify_jwt(std::move(jwt), question.peer, question.trace));
  // Its issuer is asked again for the next one.
  principal.may_refresh = false;
  co_return principal;
}

/// Exactly one credential, and it is the one of the grant type.
Result<void> check_credentials(const Parameters& parameters, std::string_view own, bool in_header) {
  if (in_header) return refuse("there is a credential in the headers and a grant in the form: one too many");
  for (const std::string_view name : kSecrets) {
    if (name != own && !parameters[name].empty()) return refuse("there is more than one credential in the form");
  }
  if (own != "password" && !parameters["username"].empty()) return refuse("username belongs to the grant type password");
  return {};
}

Task<Principal> by_grant(TokenService& tokens, Logins& logins, const Parameters& parameters, const TokenQuestion& question,
                         std::string service) {
  const std::string& grant = parameters["grant_type"];
  if (grant == "password") {
    BERTH_CO_CHECK(check_credentials(parameters, "password", question.in_header));
    co_return co_await by_password(logins, parameters, question);
  }
  if (grant == "refresh_token") {
    BERTH_CO_CHECK(check_credentials(parameters, "refresh_token", question.in_header));
    AuthAttempt attempt(AuthMethod::refresh, question.trace);
    auto principal = co_await by_refresh_token(tokens, logins, parameters, std::move(service));
    attempt.end(principal);
    co_return principal;
  }
  if (grant == kExchange) {
    BERTH_CO_CHECK(check_credentials(parameters, "subject_token", question.in_header));
    co_return co_await by_exchange(logins, parameters, question);
  }
  if (grant.empty()) co_return refuse("the form has no grant_type");
  co_return refuse("grant types here are password, refresh_token and token exchange", "unsupported_grant_type");
}

}  // namespace

Task<TokenAnswer> answer_token_question(TokenService& tokens, Logins& logins, TokenQuestion question) {
  BERTH_CO_TRY(const Parameters parameters, Parameters::read(question.parameters));
  const std::string service = tokens.service(question.origin);
  BERTH_CO_TRY(const TokenWish wish, wish_of(parameters, service));
  Principal principal = std::move(question.caller);
  if (question.post) {
    BERTH_CO_TRY(principal, co_await by_grant(tokens, logins, parameters, question, service));
  } else {
    const auto in_url = [&parameters](std::string_view name) { return !parameters[name].empty(); };
    if (in_url("grant_type") || std::any_of(std::begin(kSecrets), std::end(kSecrets), in_url)) {
      co_return refuse("credentials are not for URLs, which logs keep: send grants by POST");
    }
  }
  BERTH_CO_TRY(auto policy, co_await logins.policy());
  const trace::Span span(question.trace, "issue token");
  co_return co_await tokens.issue(std::move(principal), std::move(policy), wish);
}

std::string token_answer_json(const TokenAnswer& answer, bool post) {
  const IssuedToken& access = answer.access;
  json body = {{"token", access.token},
               {"access_token", access.token},
               {"expires_in", access.expires_in.count()},
               {"issued_at", format_rfc3339(access.issued_at)},
               {"scope", access.scope}};
  if (!answer.refresh_token.empty()) body["refresh_token"] = answer.refresh_token;
  if (post) {
    body["token_type"] = "Bearer";
    body["issued_token_type"] = kAccessTokenType;
  }
  return body.dump();
}

}  // namespace berth::auth
