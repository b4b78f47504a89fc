#include "registry/identities/commands/roles.h"

#include <algorithm>

#include "registry/identities/queries.h"

namespace berth::registry {

namespace {

constexpr std::size_t kGrantsNamed = 10;  ///< in the message of a role in use

Result<void> check_not_built_in(const std::string& name) {
  if (find_built_in_role(name) == nullptr) return {};
  return invalid("the role " + name + " is built in and stays as it is");
}

Result<void> check_unused(const IdentityChange& change, const std::string& name) {
  BERTH_TRY(const auto keys, keys_with_prefix(change.reader(), RoleUseKey::kFamily, RoleUseKey::prefix(name),
                                              kGrantsNamed + 1));
  if (keys.empty()) return {};
  std::string grants;
  for (std::size_t i = 0; i < std::min(keys.size(), kGrantsNamed); ++i) {
    BERTH_TRY(const RoleUseKey key, RoleUseKey::decode(keys[i]));
    grants += (i == 0 ? "" : ", ") + std::to_string(key.grant);
  }
  if (keys.size() > kGrantsNamed) grants += " and more";
  return identity_conflict("the role " + name + " is in use by grants: " + grants);
}

}  // namespace

Result<CreateRole::Outcome> CreateRole::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::create_role, context);
  BERTH_CHECK(check_name(role.name, "the name of a role"));
  BERTH_CHECK(check_actions(role.actions));
  BERTH_CHECK(check_text(role.description, identity_limits::description_bytes, "a description"));
  BERTH_TRY(const auto stored, change.index().get(RoleKey{role.name}));
  const bool taken = stored.has_value() || find_built_in_role(role.name) != nullptr ||
                     std::ranges::find(configured_roles, role.name) != configured_roles.end();
  if (taken) return identity_conflict("there is a role " + role.name + " already");
  BERTH_CHECK(change.check_room(&TotalsRecord::roles, identity_limits::roles, "roles"));

  BERTH_CHECK(change.begin());
  RoleRecord record;
  record.version = change.number();
  record.actions = role.actions;
  record.description = role.description;
  record.created_at = context.now;
  change.index().put(RoleKey{role.name}, record);
  BERTH_CHECK(change.count(&TotalsRecord::roles, 1));
  change.policy_changed();
  change.finish();
  return role_of(role.name, record);
}

Result<UpdateRole::Outcome> UpdateRole::apply(kv::Transaction& transaction) {
  IdentityChange edit(transaction, CommandKind::update_role, context);
  BERTH_CHECK(check_not_built_in(name));
  BERTH_TRY(auto record, edit.index().get(RoleKey{name}));
  if (!record) return unknown_identity("role", name);
  BERTH_CHECK(check_version(if_version, record->version));
  if (change.actions) BERTH_CHECK(check_actions(*change.actions));
  BERTH_CHECK(check_text(change.description.value_or(""), identity_limits::description_bytes, "a description"));

  BERTH_CHECK(edit.begin());
  record->version = edit.number();
  if (change.actions) record->actions = *change.actions;
  if (change.description) record->description = *change.description;
  edit.index().put(RoleKey{name}, *record);
  edit.policy_changed();
  edit.finish();
  return role_of(name, *record);
}

Result<DeleteRole::Outcome> DeleteRole::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::delete_role, context);
  BERTH_CHECK(check_not_built_in(name));
  BERTH_TRY(const auto record, change.index().get(RoleKey{name}));
  if (!record) return unknown_identity("role", name);
  BERTH_CHECK(check_version(if_version, record->version));
  BERTH_CHECK(check_unused(change, name));

  change.index().erase(RoleKey{name});
  BERTH_CHECK(change.count(&TotalsRecord::roles, -1));
  change.policy_changed();
  change.finish();
  return Outcome{};
}

}  // namespace berth::registry
