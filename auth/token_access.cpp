#include "auth/token_access.h"

#include <utility>

namespace berth::auth {
namespace {

struct Pair {
  Action action;
  ScopeAction word;
};
// Administration is not part of the token protocol.
constexpr Pair kPairs[] = {{Action::pull, ScopeAction::pull},
                           {Action::push, ScopeAction::push},
                           {Action::overwrite, ScopeAction::overwrite},
                           {Action::delete_, ScopeAction::delete_}};

bool is_catalog(const Scope& scope) { return scope.type() == "registry" && scope.name() == "catalog"; }

}  // namespace

GrantedActions granted_by(const Policy& policy, const Principal& principal) {
  return [&policy, &principal](const Scope& wanted) {
    ScopeActions granted;
    if (const auto repository = wanted.repository_name()) {
      const Actions actions = policy.granted(principal, *repository);
      for (const Pair& pair : kPairs) {
        if (actions.has(pair.action)) granted = granted | ScopeActions{pair.word};
      }
    } else if (is_catalog(wanted) && policy.decide(principal, Action::catalog, nullptr).allowed) {
      granted = {ScopeAction::all};
    }
    return granted;
  };
}

Ceiling ceiling_of(std::span<const Scope> access, TokenSource source) {
  Ceiling ceiling;
  for (const Scope& scope : access) {
    if (is_catalog(scope) && scope.actions().has(ScopeAction::all)) {
      ceiling.scopes.push_back({.repositories = {registry::RepositoryPattern::everything()}, .actions = {Action::catalog}});
      continue;
    }
    const auto repository = scope.repository_name();
    if (!repository) continue;
    Actions actions;
    for (const Pair& pair : kPairs) {
      if (scope.actions().has(pair.word) || scope.actions().has(ScopeAction::all)) actions |= {pair.action};
    }
    if (source == TokenSource::outside && actions.has(Action::push)) actions |= {Action::overwrite};
    auto pattern = registry::RepositoryPattern::parse(repository->text());
    if (actions.empty() || !pattern) continue;
    ceiling.scopes.push_back({.repositories = {*std::move(pattern)}, .actions = actions});
  }
  return ceiling;
}

}  // namespace berth::auth
