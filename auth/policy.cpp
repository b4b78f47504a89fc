#include "auth/policy.h"

#include <algorithm>
#include <array>
#include <utility>

namespace berth::auth {

namespace {

constexpr std::string_view kScopeTooNarrow = "the token's scope does not hold it";

/// No repository has this name, and only `**` matches it: what concerns no single repository concerns them all.
constexpr std::string_view kNoRepository = {};

std::string_view name_of(const oci::RepositoryName* repository) {
  return repository == nullptr ? kNoRepository : std::string_view(repository->text());
}

bool limited_by_tags(Action action) {
  return action == Action::push || action == Action::overwrite || action == Action::delete_;
}

bool allows_tag(const Grant& grant, Action action, const oci::Tag* tag) {
  if (tag == nullptr || grant.tags.empty() || !limited_by_tags(action)) return true;
  return std::ranges::any_of(grant.tags, [tag](const auto& pattern) { return pattern.matches(tag->text()); });
}

/// Is any of them in a scope at all, on whatever repository?
bool holds_any(const Ceiling& ceiling, Actions actions) {
  return std::ranges::any_of(ceiling.scopes,
                             [actions](const Ceiling::Scope& scope) { return !(scope.actions & actions).empty(); });
}

constexpr Actions kListing = {Action::pull, Action::catalog};

bool ceiling_allows(const Principal& principal, Action action, const oci::RepositoryName* repository) {
  if (!principal.ceiling || action == Action::none) return true;
  if (action == Action::catalog) return holds_any(*principal.ceiling, kListing);
  return principal.ceiling->allows(action, repository);
}

/// Does the credential itself give it? `repository` as in Policy::decide().
bool brings(const Principal& principal, Action action, const oci::RepositoryName* repository) {
  const bool listing = action == Action::catalog;
  return std::ranges::any_of(principal.rights, [&](const Ceiling::Scope& scope) {
    if (listing) return !(scope.actions & kListing).empty() && !scope.repositories.empty();
    return scope.actions.has(action) &&
           std::ranges::any_of(scope.repositories, [&](const auto& one) { return one.matches(name_of(repository)); });
  });
}

const Role* find_role(std::span<const Role> roles, std::string_view name) {
  const auto found = std::ranges::find(roles, name, &Role::name);
  return found == roles.end() ? nullptr : &*found;
}

}  // namespace

std::span<const Role> built_in_roles() {
  static const std::array<Role, 4> roles = {
      Role{"reader", {Action::pull}},
      Role{"writer", {Action::pull, Action::push, Action::overwrite}},
      Role{"maintainer", {Action::pull, Action::push, Action::overwrite, Action::delete_}},
      Role{"admin", Actions::all()},
  };
  return roles;
}

std::string_view to_string(GrantVerdict::Why why) {
  switch (why) {
    case GrantVerdict::Why::allows:
      return "allows it";
    case GrantVerdict::Why::unknown_role:
      return "its role does not exist";
    case GrantVerdict::Why::other_subject:
      return "is for others";
    case GrantVerdict::Why::other_repository:
      return "is for other repositories";
    case GrantVerdict::Why::other_action:
      return "gives other actions";
    case GrantVerdict::Why::other_tag:
      return "is for other tags";
  }
  return "unknown";
}

Policy::Policy(std::vector<Grant> grants, const std::vector<Role>& roles) : roles_(roles) {
  grants_.reserve(grants.size());
  for (Grant& grant : grants) {
    Rule rule{std::move(grant), {}, true};
    if (rule.grant.role.empty()) {
      rule.actions = rule.grant.actions & Actions::all();
    } else {
      const Role* role = find_role(built_in_roles(), rule.grant.role);
      if (role == nullptr) role = find_role(roles, rule.grant.role);
      rule.role_known = role != nullptr;
      if (role != nullptr) rule.actions = role->actions & Actions::all();
    }
    const auto position = static_cast<std::uint32_t>(grants_.size());
    for (const std::string& subject : rule.grant.subjects) {
      if (rule.actions.empty()) break;
      Filed& filed = by_subject_[subject];
      for (const auto& pattern : rule.grant.repositories) filed.by_repository.add(pattern, position);
      filed.grants.push_back(position);
      filed.actions |= rule.actions;
    }
    grants_.push_back(std::move(rule));
  }
  for (auto& [subject, filed] : by_subject_) filed.by_repository.build();
}

Actions Policy::actions_of_role(std::string_view name) const {
  const Role* role = find_role(built_in_roles(), name);
  if (role == nullptr) role = find_role(roles_, name);
  return role == nullptr ? Actions{} : role->actions & Actions::all();
}

Policy Policy::allow_all() {
  Policy policy;
  policy.everything_ = true;
  return policy;
}

template <class Visit>
bool Policy::any_rule(const Principal& principal, std::string_view name, Visit visit) const {
  for (const std::string& subject : principal.subjects) {
    const auto found = by_subject_.find(std::string_view(subject));
    if (found == by_subject_.end()) continue;
    const auto visit_position = [&](std::uint32_t position) { return visit(grants_[position]); };
    if (found->second.by_repository.any(name, visit_position)) return true;
  }
  return false;
}

Decision Policy::decide(const Principal& principal, Action action, const oci::RepositoryName* repository,
                        const oci::Tag* tag) const {
  if (action == Action::none) return {.allowed = true, .reason = "asks for no right"};
  if (!ceiling_allows(principal, action, repository)) return {.reason = kScopeTooNarrow};
  if (everything_) return {.allowed = true, .reason = "everybody may do everything"};
  if (brings(principal, action, repository)) return {.allowed = true, .reason = "the credential gives it"};

  Decision decision;
  const auto allow = [&decision](const Rule& rule) {
    decision = {.allowed = true, .reason = "a grant allows it", .origin = rule.grant.origin};
    return true;
  };
  if (action != Action::catalog) {
    any_rule(principal, name_of(repository), [&](const Rule& rule) {
      return rule.actions.has(action) && allows_tag(rule.grant, action, tag) && allow(rule);
    });
    return decision;
  }
  for (const std::string& subject : principal.subjects) {
    const auto found = by_subject_.find(std::string_view(subject));
    if (found == by_subject_.end() || !found->second.actions.has(Action::pull)) continue;
    for (const std::uint32_t position : found->second.grants) {
      const Rule& rule = grants_[position];
      if (rule.actions.has(Action::pull) && !rule.grant.repositories.empty() && allow(rule)) return decision;
    }
  }
  return decision;
}

Explanation Policy::explain(const Principal& principal, Action action, const oci::RepositoryName* repository,
                            const oci::Tag* tag) const {
  const Decision decision = decide(principal, action, repository, tag);
  Explanation explanation{.allowed = decision.allowed,
                          .reason = std::string(decision.reason),
                          .origin = std::string(decision.origin),
                          .ceiling_allows = ceiling_allows(principal, action, repository)};
  if (action == Action::none) return explanation;
  using Why = GrantVerdict::Why;
  const bool listing = action == Action::catalog;
  for (std::size_t i = 0; i < grants_.size(); ++i) {
    const Rule& rule = grants_[i];
    GrantVerdict verdict{.grant = i, .origin = rule.grant.origin};
    const auto subject = std::ranges::find_first_of(principal.subjects, rule.grant.subjects);
    const auto pattern = std::ranges::find_if(
        rule.grant.repositories, [&](const auto& one) { return listing || one.matches(name_of(repository)); });
    const bool names_it = subject != principal.subjects.end();
    const bool reaches_it = pattern != rule.grant.repositories.end();
    if (names_it) verdict.subject = *subject;
    if (reaches_it) verdict.pattern = pattern->text();
    if (!names_it) {
      verdict.why = Why::other_subject;
    } else if (!rule.role_known) {
      verdict.why = Why::unknown_role;
    } else if (!reaches_it) {
      verdict.why = Why::other_repository;
    } else if (!rule.actions.has(listing ? Action::pull : action)) {
      verdict.why = Why::other_action;
    } else if (!allows_tag(rule.grant, action, tag)) {
      verdict.why = Why::other_tag;
    }
    explanation.grants.push_back(std::move(verdict));
  }
  return explanation;
}

Actions Policy::granted(const Principal& principal, const oci::RepositoryName& repository) const {
  Actions actions = everything_ ? Actions::all() : Actions{};
  for (const Ceiling::Scope& scope : principal.rights) {
    const bool here = std::ranges::any_of(scope.repositories, [&](const auto& one) { return one.matches(repository.text()); });
    if (here) actions |= scope.actions & Actions::all();
  }
  any_rule(principal, repository.text(), [&actions](const Rule& rule) {
    actions |= rule.actions;
    return actions == Actions::all();
  });
  if (!principal.ceiling) return actions;
  Actions within;
  for (const Action action : {Action::pull, Action::push, Action::overwrite, Action::delete_, Action::admin,
                              Action::metrics}) {
    if (principal.ceiling->allows(action, &repository)) within |= {action};
  }
  return actions & within;
}

registry::TagSet Policy::tags(const Principal& principal, Action action, const oci::RepositoryName& repository) const {
  if (!ceiling_allows(principal, action, &repository)) return {};
  if (everything_ || brings(principal, action, &repository)) return registry::TagSet::everything();
  registry::TagSet tags;
  any_rule(principal, repository.text(), [&](const Rule& rule) {
    if (!rule.actions.has(action)) return false;
    tags.all = rule.grant.tags.empty() || !limited_by_tags(action);
    tags.patterns.insert(tags.patterns.end(), rule.grant.tags.begin(), rule.grant.tags.end());
    return tags.all;
  });
  if (tags.all) tags.patterns.clear();
  return tags;
}

registry::Visibility Policy::readable(const Principal& principal, Actions scope_actions) const {
  registry::Visibility visibility{.all = everything_};
  for (const std::string& subject : principal.subjects) {
    const auto found = by_subject_.find(std::string_view(subject));
    if (visibility.all || found == by_subject_.end()) continue;
    for (const std::uint32_t position : found->second.grants) {
      const Rule& rule = grants_[position];
      if (!rule.actions.has(Action::pull)) continue;
      for (const auto& pattern : rule.grant.repositories) visibility.patterns.push_back(pattern);
    }
  }
  for (const Ceiling::Scope& scope : principal.rights) {
    if ((scope.actions & scope_actions).empty()) continue;
    visibility.patterns.insert(visibility.patterns.end(), scope.repositories.begin(), scope.repositories.end());
  }
  const auto simplify = [](std::vector<registry::RepositoryPattern>& patterns) {
    std::ranges::sort(patterns);
    const auto twice = std::ranges::unique(patterns);
    patterns.erase(twice.begin(), twice.end());
    return std::ranges::any_of(patterns, &registry::RepositoryPattern::is_everything);
  };
  if (simplify(visibility.patterns)) visibility = registry::Visibility::everything();
  if (!principal.ceiling) return visibility;

  std::vector<registry::RepositoryPattern> within;
  for (const Ceiling::Scope& scope : principal.ceiling->scopes) {
    if ((scope.actions & scope_actions).empty()) continue;
    within.insert(within.end(), scope.repositories.begin(), scope.repositories.end());
  }
  if (!simplify(within)) visibility.within = std::move(within);
  return visibility;
}

registry::Visibility Policy::visibility(const Principal& principal) const {
  return readable(principal, {Action::pull});
}

registry::Visibility Policy::catalog_visibility(const Principal& principal) const {
  return readable(principal, kListing);
}

}  // namespace berth::auth
