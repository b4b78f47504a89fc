#include "auth/stored_access.h"

#include <string>
#include <utility>

namespace berth::auth {
namespace {

struct Pair {
  registry::ActionMask bit;
  Action action;
};
constexpr Pair kPairs[] = {{registry::action::pull, Action::pull},
                           {registry::action::push, Action::push},
                           {registry::action::overwrite, Action::overwrite},
                           {registry::action::remove, Action::delete_},
                           {registry::action::admin, Action::admin},
                           {registry::action::metrics, Action::metrics}};

std::vector<registry::RepositoryPattern> repository_patterns(const std::vector<std::string>& texts) {
  std::vector<registry::RepositoryPattern> patterns;
  for (const std::string& text : texts) {
    auto pattern = registry::RepositoryPattern::parse(text);
    if (pattern) patterns.push_back(*std::move(pattern));
  }
  return patterns;
}

/// The scope of a list: names may be seen where there is the one right or the other.
Actions with_catalog(Actions actions) {
  return actions.has(Action::pull) ? actions | Actions{Action::catalog} : actions;
}

}  // namespace

Actions actions_of(registry::ActionMask mask) {
  Actions actions;
  for (const Pair& pair : kPairs) {
    if ((mask & pair.bit) != 0) actions |= {pair.action};
  }
  return actions;
}

registry::ActionMask mask_of(Actions actions) {
  registry::ActionMask mask = 0;
  for (const Pair& pair : kPairs) {
    if (actions.has(pair.action)) mask |= pair.bit;
  }
  return mask;
}

Role role_of(const registry::Role& role) { return {role.name, actions_of(role.actions)}; }

Grant grant_of(const registry::StoredGrant& grant) {
  Grant out{.subjects = grant.content.subjects,
            .repositories = repository_patterns(grant.content.repositories),
            .actions = actions_of(grant.content.actions),
            .role = grant.content.role,
            .tags = {},
            .origin = std::to_string(grant.id)};
  for (const std::string& text : grant.content.tags) {
    auto pattern = registry::TagPattern::parse(text);
    if (pattern) out.tags.push_back(*std::move(pattern));
  }
  // Without a tag pattern the grant would be for every tag.
  if (out.tags.empty() && !grant.content.tags.empty()) out.repositories.clear();
  return out;
}

std::optional<Ceiling> ceiling_of(const registry::Ceiling& ceiling) {
  if (!ceiling) return std::nullopt;
  Ceiling out;
  for (const registry::CeilingEntry& entry : *ceiling) {
    out.scopes.push_back({repository_patterns(entry.repositories), actions_of(entry.actions)});
  }
  return out;
}

std::optional<Ceiling> intersect(std::optional<Ceiling> left, std::optional<Ceiling> right) {
  if (!left) return right;
  if (!right) return left;
  Ceiling both;
  for (const Ceiling::Scope& a : left->scopes) {
    for (const Ceiling::Scope& b : right->scopes) {
      Ceiling::Scope scope{{}, with_catalog(a.actions) & with_catalog(b.actions)};
      if (scope.actions.empty()) continue;
      for (const auto& one : a.repositories) {
        for (const auto& other : b.repositories) {
          if (other.covers(one)) {
            scope.repositories.push_back(one);
          } else if (one.covers(other)) {
            scope.repositories.push_back(other);
          }
        }
      }
      if (!scope.repositories.empty()) both.scopes.push_back(std::move(scope));
    }
  }
  return both;
}

}  // namespace berth::auth
