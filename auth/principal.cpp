#include "auth/principal.h"

#include <algorithm>
#include <utility>

namespace berth::auth {

bool Ceiling::allows(Action action, const oci::RepositoryName* repository) const {
  // The empty name is that of no repository, and only `**` matches it.
  const std::string_view name = repository == nullptr ? std::string_view{} : repository->text();
  return std::ranges::any_of(scopes, [&](const Scope& scope) {
    return scope.actions.has(action) &&
           std::ranges::any_of(scope.repositories, [&](const auto& pattern) { return pattern.matches(name); });
  });
}

Principal Principal::authenticated(std::string subject, std::vector<std::string> groups, registry::ActorId actor,
                                   std::string method) {
  Principal principal;
  principal.subjects = std::move(groups);
  principal.subjects.insert(principal.subjects.begin(), subject);
  principal.subjects.emplace_back(kAuthenticated);
  principal.subjects.emplace_back(kAnonymous);
  principal.subject = std::move(subject);
  principal.actor = actor;
  principal.method = std::move(method);
  return principal;
}

registry::Actor Principal::as_actor(std::string request_id) const {
  return {.id = actor, .request_id = std::move(request_id), .name = subject};
}

}  // namespace berth::auth
