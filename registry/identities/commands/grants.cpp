#include "registry/identities/commands/grants.h"

#include <algorithm>
#include <set>

#include "registry/identities/queries.h"

namespace berth::registry {

namespace {

Result<void> check_subjects(const std::vector<std::string>& subjects) {
  if (subjects.empty()) return invalid("a grant names at least one subject");
  if (subjects.size() > identity_limits::subjects_per_grant) {
    return invalid("a grant names at most " + std::to_string(identity_limits::subjects_per_grant) + " subjects");
  }
  std::set<std::string_view> seen;
  for (const std::string& subject : subjects) {
    BERTH_CHECK(parse_subject(subject));
    if (!seen.insert(subject).second) return invalid("a subject is named twice: " + subject);
  }
  return {};
}

Result<void> check_role_exists(const IdentityChange& change, const std::string& role,
                               const std::vector<std::string>& configured_roles) {
  if (find_built_in_role(role) != nullptr) return {};
  if (std::ranges::find(configured_roles, role) != configured_roles.end()) return {};
  BERTH_CHECK(check_name(role, "the name of a role"));
  BERTH_TRY(const auto stored, get(change.reader(), RoleKey{role}));
  if (!stored) return invalid("there is no role " + role);
  return {};
}

/// `before`: subjects that this grant names already.
Result<void> check_room_for_grant(const IdentityChange& change, const std::vector<std::string>& subjects,
                                  const std::vector<std::string>& before) {
  constexpr std::size_t kMost = identity_limits::grants_per_subject;
  for (const std::string& subject : subjects) {
    if (std::ranges::find(before, subject) != before.end()) continue;
    const std::string prefix = GrantOfKey::prefix(subject);
    BERTH_TRY(const auto keys, keys_with_prefix(change.reader(), GrantOfKey::kFamily, prefix, kMost));
    if (keys.size() == kMost) return invalid(subject + " is named by " + std::to_string(kMost) + " grants already");
  }
  return {};
}

void put_rows(IdentityChange& change, IdentityNumber id, const GrantRecord& record) {
  for (const std::string& subject : record.subjects) change.index().put(GrantOfKey{subject, id}, EmptyRecord{});
  if (!record.role.empty()) change.index().put(RoleUseKey{record.role, id}, EmptyRecord{});
  change.index().put(GrantKey{id}, record);
}

void erase_rows(IdentityChange& change, IdentityNumber id, const GrantRecord& record) {
  for (const std::string& subject : record.subjects) change.index().erase(GrantOfKey{subject, id});
  if (!record.role.empty()) change.index().erase(RoleUseKey{record.role, id});
  change.index().erase(GrantKey{id});
}

void fill(GrantRecord& record, const GrantContent& grant) {
  record.subjects = grant.subjects;
  record.repositories = grant.repositories;
  record.actions = grant.actions;
  record.role = grant.role;
  record.tags = grant.tags;
  record.description = grant.description;
}

}  // namespace

Result<void> check_grant(const IdentityChange& change, const GrantContent& grant,
                         const std::vector<std::string>& configured_roles) {
  constexpr std::size_t kPatterns = identity_limits::patterns_per_grant;
  BERTH_CHECK(check_subjects(grant.subjects));
  BERTH_CHECK(check_repository_patterns(grant.repositories, 1, kPatterns));
  BERTH_CHECK(check_tag_patterns(grant.tags, kPatterns));
  BERTH_CHECK(check_text(grant.description, identity_limits::description_bytes, "a description"));
  if (grant.role.empty()) return check_actions(grant.actions);
  if (grant.actions != 0) return invalid("a grant has either actions or a role");
  return check_role_exists(change, grant.role, configured_roles);
}

Result<StoredGrant> put_new_grant(IdentityChange& change, const GrantContent& grant) {
  GrantRecord record;
  fill(record, grant);
  record.version = change.number();
  record.created_at = change.context().now;
  record.created_by = change.context().actor;
  put_rows(change, change.number(), record);
  BERTH_CHECK(change.count(&TotalsRecord::grants, 1));
  change.policy_changed();
  return grant_of(change.number(), record);
}

Result<void> erase_mentions(IdentityChange& change, const std::string& subject) {
  const std::string prefix = GrantOfKey::prefix(subject);
  BERTH_TRY(const auto keys, keys_with_prefix(change.reader(), GrantOfKey::kFamily, prefix,
                                              identity_limits::grants_per_subject + 1));
  for (const std::string& bytes : keys) {
    BERTH_TRY(const GrantOfKey key, GrantOfKey::decode(bytes));
    BERTH_TRY(auto record, change.index().get(GrantKey{key.grant}));
    if (!record) return make_error(ErrorCode::corrupt, "a subject leads to no grant");
    erase_rows(change, key.grant, *record);
    std::erase(record->subjects, subject);
    if (record->subjects.empty()) {
      BERTH_CHECK(change.count(&TotalsRecord::grants, -1));
      continue;
    }
    record->version = change.number();
    put_rows(change, key.grant, *record);
  }
  if (!keys.empty()) change.policy_changed();
  return {};
}

Result<CreateGrant::Outcome> CreateGrant::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::create_grant, context);
  BERTH_CHECK(check_grant(change, grant, configured_roles));
  BERTH_CHECK(check_room_for_grant(change, grant.subjects, {}));
  BERTH_CHECK(change.check_room(&TotalsRecord::grants, identity_limits::grants, "grants"));
  BERTH_CHECK(change.begin());
  BERTH_TRY(StoredGrant made, put_new_grant(change, grant));
  change.finish();
  return made;
}

Result<UpdateGrant::Outcome> UpdateGrant::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::update_grant, context);
  BERTH_TRY(auto record, change.index().get(GrantKey{id}));
  if (!record) return unknown_identity("grant", std::to_string(id));
  BERTH_CHECK(check_version(if_version, record->version));
  BERTH_CHECK(check_grant(change, grant, configured_roles));
  BERTH_CHECK(check_room_for_grant(change, grant.subjects, record->subjects));

  BERTH_CHECK(change.begin());
  erase_rows(change, id, *record);
  fill(*record, grant);
  record->version = change.number();
  put_rows(change, id, *record);
  change.policy_changed();
  change.finish();
  return grant_of(id, *record);
}

Result<DeleteGrant::Outcome> DeleteGrant::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::delete_grant, context);
  BERTH_TRY(const auto record, change.index().get(GrantKey{id}));
  if (!record) return unknown_identity("grant", std::to_string(id));
  BERTH_CHECK(check_version(if_version, record->version));
  erase_rows(change, id, *record);
  BERTH_CHECK(change.count(&TotalsRecord::grants, -1));
  change.policy_changed();
  change.finish();
  return Outcome{};
}

}  // namespace berth::registry
