#include "api/challenges.h"

#include <algorithm>
#include <string_view>

#include "api/query.h"
#include "api/request_trace.h"
#include "auth/token_service.h"

namespace berth::api {
namespace {

constexpr std::string_view kRealm = "berth";

std::optional<oci::RepositoryName> mount_source(const Request& request) {
  const auto query = Query::parse(request.query());
  if (!query || !query->get("mount")) return std::nullopt;
  const auto from = query->get("from");
  auto name = from ? oci::RepositoryName::parse(*from) : make_error(ErrorCode::name_invalid, "");
  if (!name) return std::nullopt;
  return *std::move(name);
}

}  // namespace

std::vector<auth::Scope> wanted_scopes(const Route& route, const Request& request,
                                       const std::optional<oci::RepositoryName>& repository) {
  using auth::Action;
  using auth::Scope;
  using auth::ScopeAction;
  if (route.action == Action::catalog) return {Scope::catalog()};
  if (!repository) return {};
  switch (route.action) {
    case Action::pull:
      return {Scope::repository(*repository, {ScopeAction::pull})};
    case Action::delete_:
      return {Scope::repository(*repository, {ScopeAction::delete_})};
    case Action::push: {
      std::vector<Scope> scopes = {Scope::repository(*repository, {ScopeAction::pull, ScopeAction::push})};
      if (route.method != Method::post) return scopes;
      const auto source = mount_source(request);
      if (source && *source != *repository) scopes.push_back(Scope::repository(*source, {ScopeAction::pull}));
      return scopes;
    }
    default:
      return {};
  }
}

std::string challenge_header(const auth::TokenService* tokens, const Request& request,
                             const std::vector<auth::Scope>& scopes, auth::ChallengeError error) {
  const bool registry_path = request.target == "/v2" || request.target.starts_with("/v2/") || request.target.starts_with("/v2?");
  if (tokens != nullptr && registry_path) {
    const auth::RequestOrigin origin{std::string(request.headers.get("Host")), request.secure};
    const auto challenge = tokens->challenge(origin);
    if (challenge) return challenge->header(scopes, error);
  }
  return auth::basic_challenge(kRealm).value();
}

auth::Caller caller_of(const Request& request) {
  auth::Caller caller{.authorization = {},
                      .peer = request.peer_address,
                      .host = std::string(request.headers.get("Host")),
                      .secure = request.secure,
                      .certificate = request.client_certificate,
                      .local = request.local_uid.has_value(),
                      .trace = outbound_trace(request)};
  for (const std::string_view value : request.headers.all("Authorization")) caller.authorization.emplace_back(value);
  return caller;
}

bool is_bearer(const Request& request) {
  constexpr std::string_view kScheme = "bearer ";
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b; };
  return std::ranges::any_of(request.headers.all("Authorization"), [&](std::string_view header) {
    return header.size() > kScheme.size() && std::equal(kScheme.begin(), kScheme.end(), header.begin(), [&](char want, char have) { return same(have, want); });
  });
}

}  // namespace berth::api
