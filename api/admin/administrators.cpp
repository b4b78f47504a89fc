#include "api/admin/administrators.h"

#include <algorithm>
#include <set>

#include "api/account_tools.h"
#include "api/admin/manage.h"
#include "auth/access_control.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

using Subjects = std::set<std::string, std::less<>>;

bool has(const std::vector<std::string>& list, std::string_view one) { return std::ranges::find(list, one) != list.end(); }

bool role_administers(const auth::Policy& policy, const std::string& name) {
  for (const auto roles : {auth::built_in_roles(), policy.roles()}) {
    for (const auth::Role& role : roles) {
      if (role.name == name) return role.actions.has(auth::Action::admin);
    }
  }
  return false;
}

bool administers(const auth::Policy& policy, const registry::GrantContent& grant, const AccessChange& change) {
  if (!has(grant.repositories, "**")) return false;
  if (grant.role.empty()) return (grant.actions & registry::action::admin) != 0;
  if (grant.role == change.role) return (change.actions & registry::action::admin) != 0;
  return role_administers(policy, grant.role);
}

bool administers(const auth::Policy::Rule& rule, const AccessChange& change) {
  const bool everywhere = std::ranges::any_of(rule.grant.repositories,
                                              [](const auto& pattern) { return pattern.is_everything(); });
  if (!everywhere) return false;
  if (!rule.grant.role.empty() && rule.grant.role == change.role) {
    return (change.actions & registry::action::admin) != 0;
  }
  return rule.actions.has(auth::Action::admin);
}

/// All whom a grant makes administrators of the registry, once `change` has happened.
Subjects administrators(const auth::Policy& policy, const AccessChange& change) {
  Subjects subjects;
  for (const auth::Policy::Rule& rule : policy.rules()) {
    if (change.grant && rule.grant.origin == std::to_string(*change.grant)) continue;
    if (administers(rule, change)) subjects.insert(rule.grant.subjects.begin(), rule.grant.subjects.end());
  }
  if (change.replaced && administers(policy, *change.replaced, change)) {
    for (const std::string& subject : change.replaced->subjects) subjects.insert(registry::lower_case_subject(subject));
  }
  // Who can read the data directory is always one: that is no reason to lock the others out.
  subjects.erase(std::string(auth::kLocalRoot));
  if (!change.group_gone.empty()) subjects.erase(registry::group_subject(change.group_gone));
  return subjects;
}

Task<bool> may_come_in(Context& context, std::string user, const AccessChange& change) {
  if (user == change.user_gone) co_return false;
  BERTH_CO_TRY(const auto found, co_await context.identities().find_user(std::move(user)));
  if (found) co_return found->enabled;
  const auth::AuthOptions& options = context.accounts().options();
  co_return options.ldap.has_value() || !options.htpasswd_file.empty();
}

Task<bool> has_member(Context& context, std::string group, const AccessChange& change) {
  const auth::AuthOptions& options = context.accounts().options();
  if (options.ldap || !options.oidc.empty() || !options.certificates.empty()) co_return true;
  BERTH_CO_TRY(const auto found, co_await context.identities().find_group(group));
  if (!found) co_return false;
  if (!found->members.empty()) co_return true;
  if (!change.user_moved.empty() && has(change.groups, group)) {
    BERTH_CO_TRY(const bool good, co_await may_come_in(context, change.user_moved, change));
    if (good) co_return true;
  }
  constexpr std::size_t kPage = 200;
  std::string last;
  while (true) {
    BERTH_CO_TRY(const auto page, co_await context.identities().list_group_users(group, kPage, last));
    if (!page) co_return false;
    for (const std::string& user : page->items) {
      if (user == change.user_moved) continue;
      BERTH_CO_TRY(const bool good, co_await may_come_in(context, user, change));
      if (good) co_return true;
    }
    if (!page->more || page->items.empty()) co_return false;
    last = page->items.back();
  }
}

Task<bool> anybody(Context& context, Subjects subjects, const AccessChange& change) {
  for (const std::string& subject : subjects) {
    const std::size_t colon = subject.find(':');
    const std::string name = colon == std::string::npos ? "" : subject.substr(colon + 1);
    bool good = true;  // who is from outside is known there
    if (subject.starts_with("user:")) {
      BERTH_CO_TRY(good, co_await may_come_in(context, name, change));
    } else if (subject.starts_with("group:")) {
      BERTH_CO_TRY(good, co_await has_member(context, name, change));
    } else if (subject.starts_with("robot:")) {
      BERTH_CO_TRY(const auto robot, co_await context.identities().find_robot(name));
      good = robot && robot->enabled;
    }
    if (good) co_return true;
  }
  co_return false;
}

bool counts_as(const auth::Principal& caller, const Subjects& subjects, const AccessChange& change) {
  if (!change.user_gone.empty() && caller.subject == registry::user_subject(change.user_gone)) return false;
  const bool moved = !change.user_moved.empty() && caller.subject == registry::user_subject(change.user_moved);
  return std::ranges::any_of(caller.subjects, [&](const std::string& subject) {
    const bool left = moved && subject.starts_with("group:") && !has(caller.testimony.groups, subject) &&
                      !has(change.groups, subject.substr(6));
    return !left && subjects.contains(subject);
  });
}

}  // namespace

Task<void> check_administrators_stay(Context& context, AccessChange change) {
  const AccessChange nothing;
  const Subjects before = administrators(context.policy, nothing);
  const Subjects after = administrators(context.policy, change);
  if (counts_as(context.principal, before, nothing) && !counts_as(context.principal, after, change)) {
    co_return conflict("this would take the right of an administrator from yourself; let another administrator do it");
  }
  BERTH_CO_TRY(const bool left, co_await anybody(context, after, change));
  if (left) co_return Result<void>();
  BERTH_CO_TRY(const bool was, co_await anybody(context, before, nothing));
  if (was) co_return conflict("this would leave nobody who is administrator of the registry");
  co_return Result<void>();
}

}  // namespace berth::api::admin
