#include "registry/identities/commands/users.h"

#include <algorithm>

#include "registry/identities/commands/credentials.h"
#include "registry/identities/commands/grants.h"
#include "registry/identities/commands/groups.h"
#include "registry/identities/queries.h"

namespace berth::registry {

namespace {

/// PHC text or what crypt(3) writes: begins with $, printable, no spaces. Never repeated in an error.
Result<void> check_password_hash(std::string_view hash) {
  const auto printable = [](char c) { return c > 0x20 && c < 0x7f; };
  if (hash.empty()) return {};
  if (hash.size() <= identity_limits::password_hash_bytes && hash[0] == '$' && std::ranges::all_of(hash, printable)) {
    return {};
  }
  return invalid("the hash of a password has not the form of one");
}

Result<void> check_texts(std::string_view display_name, std::string_view email) {
  BERTH_CHECK(check_text(display_name, identity_limits::display_name_bytes, "the name for people"));
  return check_text(email, identity_limits::email_bytes, "an e-mail address");
}

/// Ids of groups, ascending, each once.
Result<std::vector<IdentityNumber>> group_ids(const IdentityChange& change, const std::vector<std::string>& names) {
  if (names.size() > identity_limits::groups_per_user) {
    return invalid("a user is in at most " + std::to_string(identity_limits::groups_per_user) + " groups");
  }
  std::vector<IdentityNumber> ids;
  for (const std::string& name : names) {
    BERTH_CHECK(check_name(name, "the name of a group"));
    BERTH_TRY(const auto group, get(change.reader(), GroupKey{name}));
    if (!group) return invalid("there is no group " + name);
    ids.push_back(group->id);
  }
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

void move_groups(IdentityChange& change, const std::string& name, const std::vector<IdentityNumber>& from,
                 const std::vector<IdentityNumber>& to) {
  for (const IdentityNumber group : from) {
    if (!std::ranges::binary_search(to, group)) change.index().erase(GroupUserKey{group, name});
  }
  for (const IdentityNumber group : to) {
    if (!std::ranges::binary_search(from, group)) change.index().put(GroupUserKey{group, name}, EmptyRecord{});
  }
}

void set_password(IdentityChange& change, const std::string& name, UserRecord& record, const std::string& hash) {
  if (hash.empty()) {
    change.index().erase(PasswordKey{name});
    record.password_changed_at = WallTime{};
  } else {
    change.index().put(PasswordKey{name}, {.hash = hash});
    record.password_changed_at = change.context().now;
  }
}

}  // namespace

Result<User> make_user(IdentityChange& change, const NewUser& user) {
  BERTH_CHECK(check_name(user.name, "the name of a user"));
  BERTH_CHECK(check_texts(user.display_name, user.email));
  BERTH_CHECK(check_password_hash(user.password_hash));
  BERTH_TRY(const auto taken, change.index().get(UserKey{user.name}));
  if (taken) return identity_conflict("there is a user " + user.name + " already");
  BERTH_TRY(const std::vector<IdentityNumber> groups, group_ids(change, user.groups));
  BERTH_CHECK(change.check_room(&TotalsRecord::users, identity_limits::users, "users"));

  BERTH_CHECK(change.begin());
  UserRecord record;
  BERTH_TRY(record.actor, bind_actor(change, user_subject(user.name)));
  record.version = change.number();
  record.enabled = user.enabled;
  record.display_name = user.display_name;
  record.email = user.email;
  record.groups = groups;
  record.created_at = change.context().now;
  if (!user.password_hash.empty()) set_password(change, user.name, record, user.password_hash);
  move_groups(change, user.name, {}, groups);
  change.index().put(UserKey{user.name}, record);
  BERTH_CHECK(change.count(&TotalsRecord::users, 1));
  return user_of(change.reader(), user.name, record);
}

Result<CreateUser::Outcome> CreateUser::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::create_user, context);
  BERTH_TRY(User made, make_user(change, user));
  change.finish();
  return made;
}

Result<UpdateUser::Outcome> UpdateUser::apply(kv::Transaction& transaction) {
  IdentityChange edit(transaction, CommandKind::update_user, context);
  BERTH_TRY(auto record, edit.index().get(UserKey{name}));
  if (!record) return unknown_identity("user", name);
  BERTH_CHECK(check_version(if_version, record->version));
  BERTH_CHECK(check_texts(change.display_name.value_or(""), change.email.value_or("")));
  BERTH_CHECK(check_password_hash(change.password_hash.value_or("")));
  std::vector<IdentityNumber> groups = record->groups;
  if (change.groups) {
    BERTH_TRY(groups, group_ids(edit, *change.groups));
  }

  BERTH_CHECK(edit.begin());
  record->version = edit.number();
  if (change.enabled) record->enabled = *change.enabled;
  if (change.display_name) record->display_name = *change.display_name;
  if (change.email) record->email = *change.email;
  if (change.groups) {
    move_groups(edit, name, record->groups, groups);
    record->groups = groups;
  }
  if (change.password_hash) {
    set_password(edit, name, *record, *change.password_hash);
    BERTH_CHECK(erase_credentials(edit, user_subject(name), CredentialKind::refresh_token));
  }
  edit.index().put(UserKey{name}, *record);
  edit.finish();
  return user_of(edit.reader(), name, *record);
}

Result<ReplaceHash::Outcome> ReplaceHash::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::update_user, context);
  BERTH_CHECK(check_password_hash(new_hash));
  BERTH_TRY(auto password, change.index().get(PasswordKey{name}));
  if (new_hash.empty() || !password || password->hash != old_hash) return Outcome{};
  BERTH_CHECK(change.begin());
  password->hash = new_hash;
  change.index().put(PasswordKey{name}, *password);
  change.finish();
  return Outcome{};
}

Result<DeleteUser::Outcome> DeleteUser::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::delete_user, context);
  BERTH_TRY(const auto record, change.index().get(UserKey{name}));
  if (!record) return unknown_identity("user", name);
  BERTH_CHECK(check_version(if_version, record->version));

  BERTH_CHECK(change.begin());
  const std::string subject = user_subject(name);
  BERTH_CHECK(erase_credentials(change, subject));
  BERTH_CHECK(erase_mentions(change, subject));
  BERTH_CHECK(erase_memberships(change, subject));
  BERTH_CHECK(unbind_actor(change, subject, erasure));
  move_groups(change, name, record->groups, {});
  change.index().erase(PasswordKey{name});
  change.index().erase(UserKey{name});
  BERTH_CHECK(change.count(&TotalsRecord::users, -1));
  change.finish();
  return Outcome{};
}

}  // namespace berth::registry
