#include "registry/identities/commands/groups.h"

#include <algorithm>
#include <iterator>

#include "registry/identities/commands/grants.h"
#include "registry/identities/queries.h"

namespace berth::registry {

namespace {

/// Ascending, each once, and none that is a group or a word for many.
Result<std::vector<std::string>> sorted_members(std::vector<std::string> members) {
  if (members.size() > identity_limits::members_per_group) {
    return invalid("a group lists at most " + std::to_string(identity_limits::members_per_group) +
                   " members from outside");
  }
  for (const std::string& member : members) {
    BERTH_TRY(const SubjectKind kind, parse_subject(member));
    const bool one = kind == SubjectKind::user || kind == SubjectKind::robot || kind == SubjectKind::federated ||
                     kind == SubjectKind::certificate;
    if (!one) return invalid("members of a group are users, robots, federated identities and certificates");
  }
  std::ranges::sort(members);
  members.erase(std::unique(members.begin(), members.end()), members.end());
  return members;
}

std::vector<std::string> without(const std::vector<std::string>& all, const std::vector<std::string>& others) {
  std::vector<std::string> rest;
  std::ranges::set_difference(all, others, std::back_inserter(rest));
  return rest;
}

Result<void> check_room_for_group(const IdentityChange& change, const std::vector<std::string>& added) {
  for (const std::string& member : added) {
    const std::string prefix = MembershipKey::prefix(member);
    const std::size_t most = identity_limits::groups_per_user;
    BERTH_TRY(const auto keys, keys_with_prefix(change.reader(), MembershipKey::kFamily, prefix, most));
    if (keys.size() == most) return invalid(member + " is in " + std::to_string(most) + " groups already");
  }
  return {};
}

void list_members(IdentityChange& change, IdentityNumber group, const std::vector<std::string>& added,
                  const std::vector<std::string>& removed) {
  for (const std::string& member : removed) change.index().erase(MembershipKey{member, group});
  for (const std::string& member : added) change.index().put(MembershipKey{member, group}, EmptyRecord{});
}

}  // namespace

Result<void> erase_memberships(IdentityChange& change, const std::string& subject) {
  const std::string prefix = MembershipKey::prefix(subject);
  BERTH_TRY(const auto keys, keys_with_prefix(change.reader(), MembershipKey::kFamily, prefix,
                                              identity_limits::groups_per_user));
  for (const std::string& bytes : keys) {
    BERTH_TRY(const MembershipKey key, MembershipKey::decode(bytes));
    BERTH_TRY(const auto name, change.index().get(GroupNameKey{key.group}));
    if (!name) return make_error(ErrorCode::corrupt, "a membership leads to no group");
    BERTH_TRY(auto group, change.index().get(GroupKey{name->name}));
    if (!group) return make_error(ErrorCode::corrupt, "a membership leads to no group");
    std::erase(group->members, subject);
    group->version = change.number();
    change.index().put(GroupKey{name->name}, *group);
    change.index().erase(key);
  }
  return {};
}

Result<CreateGroup::Outcome> CreateGroup::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::create_group, context);
  BERTH_CHECK(check_name(group.name, "the name of a group"));
  BERTH_CHECK(check_text(group.description, identity_limits::description_bytes, "a description"));
  BERTH_TRY(const std::vector<std::string> members, sorted_members(group.members));
  BERTH_TRY(const auto taken, change.index().get(GroupKey{group.name}));
  if (taken) return identity_conflict("there is a group " + group.name + " already");
  BERTH_CHECK(check_room_for_group(change, members));
  BERTH_CHECK(change.check_room(&TotalsRecord::groups, identity_limits::groups, "groups"));

  BERTH_CHECK(change.begin());
  GroupRecord record;
  record.id = record.version = change.number();
  record.description = group.description;
  record.members = members;
  record.created_at = context.now;
  list_members(change, record.id, members, {});
  change.index().put(GroupKey{group.name}, record);
  change.index().put(GroupNameKey{record.id}, {.name = group.name});
  BERTH_CHECK(change.count(&TotalsRecord::groups, 1));
  change.policy_changed();
  change.finish();
  return group_of(group.name, record);
}

Result<UpdateGroup::Outcome> UpdateGroup::apply(kv::Transaction& transaction) {
  IdentityChange edit(transaction, CommandKind::update_group, context);
  BERTH_TRY(auto record, edit.index().get(GroupKey{name}));
  if (!record) return unknown_identity("group", name);
  BERTH_CHECK(check_version(if_version, record->version));
  BERTH_CHECK(check_text(change.description.value_or(""), identity_limits::description_bytes, "a description"));
  std::vector<std::string> members = record->members;
  if (change.members) {
    BERTH_TRY(members, sorted_members(*change.members));
  }
  const std::vector<std::string> added = without(members, record->members);
  BERTH_CHECK(check_room_for_group(edit, added));

  BERTH_CHECK(edit.begin());
  record->version = edit.number();
  if (change.description) record->description = *change.description;
  list_members(edit, record->id, added, without(record->members, members));
  record->members = members;
  edit.index().put(GroupKey{name}, *record);
  edit.finish();
  return group_of(name, *record);
}

Result<DeleteGroup::Outcome> DeleteGroup::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::delete_group, context);
  BERTH_TRY(const auto record, change.index().get(GroupKey{name}));
  if (!record) return unknown_identity("group", name);
  BERTH_CHECK(check_version(if_version, record->version));
  BERTH_TRY(const bool has_users, any_with_prefix(change.reader(), GroupUserKey::kFamily,
                                                  GroupUserKey::prefix(record->id)));

  BERTH_CHECK(change.begin());
  BERTH_CHECK(erase_mentions(change, group_subject(name)));
  list_members(change, record->id, {}, record->members);
  change.index().erase(GroupKey{name});
  change.index().erase(GroupNameKey{record->id});
  if (has_users) change.index().put(IdentityDueKey{context.uptime, IdentityDueKind::group, record->id}, EmptyRecord{});
  BERTH_CHECK(change.count(&TotalsRecord::groups, -1));
  change.policy_changed();
  change.finish();
  return Outcome{};
}

}  // namespace berth::registry
