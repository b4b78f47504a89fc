#include "registry/identities/queries.h"

#include <algorithm>
#include <cstring>

#include "registry/identities/rules.h"

namespace berth::registry {

namespace {

/// The names behind ids of groups; those that are deleted by now are left out.
Result<std::vector<std::string>> group_names(const kv::Reader& reader, const std::vector<IdentityNumber>& ids) {
  std::vector<std::string> keys;
  for (const IdentityNumber id : ids) keys.push_back(GroupNameKey{id}.encode());
  BERTH_TRY(const auto values, reader.multi_get(GroupNameKey::kFamily, keys));
  std::vector<std::string> names;
  for (const auto& value : values) {
    if (!value) continue;
    BERTH_TRY(GroupNameRecord record, decode<GroupNameRecord>(*value));
    names.push_back(std::move(record.name));
  }
  std::ranges::sort(names);
  return names;
}

/// A page of what lies under a prefix, from right behind the key `last` on (empty: from the start). `make` turns a key
/// and a record into an item.
template <class Key, class Item, class Make>
Result<IdentityPage<Item>> page_of(const kv::Reader& reader, const std::string& prefix, const std::string& last,
                                   std::size_t n, Make make) {
  kv::KeyRange range = kv::prefix_range(prefix);
  if (!last.empty()) range.begin = last + '\0';
  BERTH_TRY(const auto cursor, reader.scan(Key::kFamily, std::move(range)));
  IdentityPage<Item> page;
  for (; cursor->valid(); cursor->next()) {
    if (page.items.size() == n) {
      page.more = true;
      break;
    }
    BERTH_TRY(const Key key, Key::decode(cursor->key()));
    BERTH_TRY(auto record, decode<typename Key::Record>(cursor->value()));
    Result<Item> item = make(key, std::move(record));
    if (!item) return std::move(item).error();
    page.items.push_back(*std::move(item));
  }
  BERTH_CHECK(cursor->status());
  return page;
}

template <class Key>
std::string key_after(std::string_view last) {
  return last.empty() ? std::string() : Key{std::string(last)}.encode();
}

TokenKey token_key_of(const std::string& id, const SigningKeyRecord& record, std::string pkcs8) {
  TokenKey key;
  key.id = id;
  key.version = record.version;
  key.state = record.state;
  key.algorithm = record.algorithm;
  key.pkcs8 = std::move(pkcs8);
  key.created_at = record.created_at;
  key.activated_at = record.activated_at;
  key.retired_at = record.retired_at;
  return key;
}

Role role_of(const BuiltInRole& built_in) {
  Role role;
  role.name = built_in.name;
  role.actions = built_in.actions;
  role.description = built_in.description;
  return role;
}

}  // namespace

// ---- records as values ----

Result<User> user_of(const kv::Reader& reader, const std::string& name, const UserRecord& record) {
  User user;
  user.name = name;
  user.actor = record.actor;
  user.version = record.version;
  user.enabled = record.enabled;
  user.display_name = record.display_name;
  user.email = record.email;
  BERTH_TRY(user.groups, group_names(reader, record.groups));
  user.created_at = record.created_at;
  user.password_changed_at = record.password_changed_at;
  user.last_login_at = record.last_login_at;
  return user;
}

Result<Robot> robot_of(const kv::Reader& reader, const std::string& name, const RobotRecord& record) {
  Robot robot;
  robot.name = name;
  robot.actor = record.actor;
  robot.version = record.version;
  robot.enabled = record.enabled;
  robot.description = record.description;
  robot.ceiling = record.ceiling;
  robot.created_at = record.created_at;
  robot.expires_at = record.expires_at;
  robot.last_used_at = record.last_used_at;
  BERTH_TRY(auto secrets, list_credentials(reader, robot_subject(name), CredentialKind::robot_secret,
                                           identity_limits::secrets_per_robot, 0));
  robot.secrets = std::move(secrets.items);
  return robot;
}

Group group_of(const std::string& name, const GroupRecord& record) {
  Group group;
  group.name = name;
  group.id = record.id;
  group.version = record.version;
  group.description = record.description;
  group.members = record.members;
  group.created_at = record.created_at;
  return group;
}

Role role_of(const std::string& name, const RoleRecord& record) {
  Role role;
  role.name = name;
  role.version = record.version;
  role.actions = record.actions;
  role.description = record.description;
  role.created_at = record.created_at;
  return role;
}

StoredGrant grant_of(IdentityNumber id, const GrantRecord& record) {
  StoredGrant grant;
  grant.id = id;
  grant.version = record.version;
  grant.content = {.subjects = record.subjects,
                   .repositories = record.repositories,
                   .actions = record.actions,
                   .role = record.role,
                   .tags = record.tags,
                   .description = record.description};
  grant.created_at = record.created_at;
  grant.created_by = record.created_by;
  return grant;
}

Credential credential_of(const CredentialKey& key, const CredentialRecord& record) {
  Credential credential;
  credential.kind = key.kind;
  credential.owner = key.owner;
  credential.id = key.id;
  credential.name = record.name;
  credential.service = record.service;
  credential.client_id = record.client_id;
  credential.ceiling = record.ceiling;
  credential.created_at = record.created_at;
  credential.expires_at = record.expires_at;
  credential.last_used_at = record.last_used_at;
  return credential;
}

// ---- one ----

Result<std::optional<User>> find_user(const kv::Reader& reader, const std::string& name) {
  BERTH_TRY(const auto record, get(reader, UserKey{name}));
  if (!record) return std::optional<User>{};
  BERTH_TRY(User user, user_of(reader, name, *record));
  return std::optional(std::move(user));
}

Result<std::optional<LoginUser>> find_login(const kv::Reader& reader, const std::string& name) {
  BERTH_TRY(auto user, find_user(reader, name));
  if (!user) return std::optional<LoginUser>{};
  BERTH_TRY(auto password, get(reader, PasswordKey{name}));
  BERTH_TRY(const std::vector<std::string> listing, groups_listing(reader, user_subject(name)));
  user->groups.insert(user->groups.end(), listing.begin(), listing.end());
  std::ranges::sort(user->groups);
  user->groups.erase(std::unique(user->groups.begin(), user->groups.end()), user->groups.end());
  return std::optional(LoginUser{*std::move(user), password ? std::move(password->hash) : std::string()});
}

Result<std::optional<Group>> find_group(const kv::Reader& reader, const std::string& name) {
  BERTH_TRY(const auto record, get(reader, GroupKey{name}));
  return record ? std::optional(group_of(name, *record)) : std::nullopt;
}

Result<std::vector<std::string>> groups_listing(const kv::Reader& reader, const std::string& subject) {
  const std::string prefix = MembershipKey::prefix(subject);
  BERTH_TRY(const auto keys,
            keys_with_prefix(reader, MembershipKey::kFamily, prefix, identity_limits::groups_per_user));
  std::vector<IdentityNumber> ids;
  for (const std::string& bytes : keys) {
    BERTH_TRY(const MembershipKey key, MembershipKey::decode(bytes));
    ids.push_back(key.group);
  }
  return group_names(reader, ids);
}

Result<std::optional<Robot>> find_robot(const kv::Reader& reader, const std::string& name) {
  BERTH_TRY(const auto record, get(reader, RobotKey{name}));
  if (!record) return std::optional<Robot>{};
  BERTH_TRY(Robot robot, robot_of(reader, name, *record));
  return std::optional(std::move(robot));
}

Result<std::optional<Credential>> find_credential(const kv::Reader& reader, const SecretHash& hash) {
  BERTH_TRY(auto record, get(reader, SecretKey{hash}));
  if (!record) return std::optional<Credential>{};
  Credential credential;
  credential.kind = record->kind;
  credential.owner = std::move(record->owner);
  credential.id = record->id;
  credential.name = std::move(record->name);
  credential.service = std::move(record->service);
  credential.client_id = std::move(record->client_id);
  credential.ceiling = std::move(record->ceiling);
  credential.created_at = record->created_at;
  credential.expires_at = record->expires_at;
  return std::optional(std::move(credential));
}

Result<std::optional<Role>> find_role(const kv::Reader& reader, const std::string& name) {
  if (const BuiltInRole* built_in = find_built_in_role(name)) return std::optional(role_of(*built_in));
  BERTH_TRY(const auto record, get(reader, RoleKey{name}));
  return record ? std::optional(role_of(name, *record)) : std::nullopt;
}

Result<std::optional<StoredGrant>> find_grant(const kv::Reader& reader, IdentityNumber id) {
  BERTH_TRY(const auto record, get(reader, GrantKey{id}));
  return record ? std::optional(grant_of(id, *record)) : std::nullopt;
}

Result<std::optional<ActorName>> find_actor(const kv::Reader& reader, ActorId actor) {
  BERTH_TRY(const auto record, get(reader, ActorKey{actor}));
  if (!record) return std::optional<ActorName>{};
  return std::optional(ActorName{actor, record->kind, record->subject, record->created_at});
}

Result<std::optional<ActorId>> actor_of(const kv::Reader& reader, const std::string& subject) {
  BERTH_TRY(const auto bound, get(reader, ActorOfKey{subject}));
  return bound ? std::optional(bound->actor) : std::nullopt;
}

// ---- pages ----

Result<IdentityPage<User>> list_users(const kv::Reader& reader, std::size_t n, std::string_view last) {
  const auto make = [&](const UserKey& key, const UserRecord& record) { return user_of(reader, key.name, record); };
  return page_of<UserKey, User>(reader, UserKey::prefix(), key_after<UserKey>(last), n, make);
}

Result<std::optional<IdentityPage<std::string>>> list_group_users(const kv::Reader& reader, const std::string& group,
                                                                  std::size_t n, std::string_view last) {
  BERTH_TRY(const auto record, get(reader, GroupKey{group}));
  if (!record) return std::optional<IdentityPage<std::string>>{};
  const auto make = [](const GroupUserKey& key, const EmptyRecord&) -> Result<std::string> { return key.user; };
  const std::string after = last.empty() ? "" : GroupUserKey{record->id, std::string(last)}.encode();
  BERTH_TRY(auto page, (page_of<GroupUserKey, std::string>(reader, GroupUserKey::prefix(record->id), after, n, make)));
  return std::optional(std::move(page));
}

Result<IdentityPage<Group>> list_groups(const kv::Reader& reader, std::size_t n, std::string_view last) {
  const auto make = [](const GroupKey& key, const GroupRecord& record) -> Result<Group> {
    return group_of(key.name, record);
  };
  return page_of<GroupKey, Group>(reader, GroupKey::prefix(), key_after<GroupKey>(last), n, make);
}

Result<IdentityPage<Robot>> list_robots(const kv::Reader& reader, std::size_t n, std::string_view last) {
  const auto make = [&](const RobotKey& key, const RobotRecord& record) { return robot_of(reader, key.name, record); };
  return page_of<RobotKey, Robot>(reader, RobotKey::prefix(), key_after<RobotKey>(last), n, make);
}

Result<IdentityPage<Credential>> list_credentials(const kv::Reader& reader, const std::string& owner,
                                                  CredentialKind kind, std::size_t n, IdentityNumber last) {
  const auto make = [](const CredentialKey& key, const CredentialRecord& record) -> Result<Credential> {
    return credential_of(key, record);
  };
  const std::string after = last == 0 ? "" : CredentialKey{owner, kind, last}.encode();
  return page_of<CredentialKey, Credential>(reader, CredentialKey::prefix(owner, kind), after, n, make);
}

Result<IdentityPage<Role>> list_roles(const kv::Reader& reader, std::size_t n, std::string_view last) {
  const auto make = [](const RoleKey& key, const RoleRecord& record) -> Result<Role> {
    return role_of(key.name, record);
  };
  BERTH_TRY(auto page, (page_of<RoleKey, Role>(reader, RoleKey::prefix(), key_after<RoleKey>(last), n, make)));
  for (const BuiltInRole& built_in : kBuiltInRoles) {
    if (built_in.name > last) page.items.push_back(role_of(built_in));
  }
  std::ranges::sort(page.items, {}, &Role::name);
  if (page.items.size() > n) {
    page.items.resize(n);
    page.more = true;
  }
  return page;
}

Result<IdentityPage<StoredGrant>> list_grants(const kv::Reader& reader, std::size_t n, IdentityNumber last) {
  const auto make = [](const GrantKey& key, const GrantRecord& record) -> Result<StoredGrant> {
    return grant_of(key.grant, record);
  };
  const std::string after = last == 0 ? "" : GrantKey{last}.encode();
  return page_of<GrantKey, StoredGrant>(reader, GrantKey::prefix(), after, n, make);
}

Result<std::vector<StoredGrant>> list_grants_of(const kv::Reader& reader, const std::string& subject) {
  const std::string prefix = GrantOfKey::prefix(subject);
  BERTH_TRY(const auto keys,
            keys_with_prefix(reader, GrantOfKey::kFamily, prefix, identity_limits::grants_per_subject + 1));
  std::vector<StoredGrant> grants;
  for (const std::string& bytes : keys) {
    BERTH_TRY(const GrantOfKey key, GrantOfKey::decode(bytes));
    BERTH_TRY(const auto record, get(reader, GrantKey{key.grant}));
    if (!record) return make_error(ErrorCode::corrupt, "a subject leads to no grant");
    grants.push_back(grant_of(key.grant, *record));
  }
  return grants;
}

Result<std::vector<TokenKey>> list_token_keys(const kv::Reader& reader) {
  const auto make = [&](const SigningKeyKey& key, const SigningKeyRecord& record) -> Result<TokenKey> {
    BERTH_TRY(auto secret, get(reader, SigningSecretKey{key.id}));
    if (!secret) return make_error(ErrorCode::corrupt, "a signing key has not its bytes", key.id);
    return token_key_of(key.id, record, std::move(secret->pkcs8));
  };
  BERTH_TRY(auto page, (page_of<SigningKeyKey, TokenKey>(reader, SigningKeyKey::prefix(), "",
                                                         identity_limits::signing_keys, make)));
  return std::move(page.items);
}

Result<TotalsRecord> totals(const kv::Reader& reader) {
  BERTH_TRY(const auto record, get(reader, TotalsKey{}));
  return record.value_or(TotalsRecord{});
}

Result<PolicySnapshot> read_policy(const kv::Reader& reader) {
  const auto make_role = [](const RoleKey& key, const RoleRecord& record) -> Result<Role> {
    return role_of(key.name, record);
  };
  const auto make_group = [](const GroupKey& key, const GroupRecord&) -> Result<std::string> { return key.name; };
  PolicySnapshot snapshot;
  constexpr std::size_t kAll = ~std::size_t{0};  // the commands bound how many there are
  BERTH_TRY(auto roles, (page_of<RoleKey, Role>(reader, RoleKey::prefix(), "", kAll, make_role)));
  BERTH_TRY(auto grants, list_grants(reader, kAll, 0));
  BERTH_TRY(auto groups, (page_of<GroupKey, std::string>(reader, GroupKey::prefix(), "", kAll, make_group)));
  snapshot.roles = std::move(roles.items);
  snapshot.grants = std::move(grants.items);
  snapshot.groups = std::move(groups.items);
  return snapshot;
}

// ---- for the sweep ----

Result<std::optional<FoundSecret>> secret_of(const kv::Reader& reader, IdentityNumber credential) {
  BERTH_TRY(const auto found, get(reader, SecretOfKey{credential}));
  if (!found) return std::optional<FoundSecret>{};
  FoundSecret secret;
  const bool sized = found->hash.size() == secret.key.hash.size();
  if (sized) std::memcpy(secret.key.hash.data(), found->hash.data(), found->hash.size());
  BERTH_TRY(auto record, get(reader, secret.key));
  if (!sized || !record) return make_error(ErrorCode::corrupt, "a credential cannot be found by its hash");
  secret.record = *std::move(record);
  return std::optional(std::move(secret));
}

Uptime expiry_due(const CommandContext& context, WallTime expires_at, std::chrono::milliseconds expired_keep) {
  const auto left = std::max(std::chrono::milliseconds(1), expires_at + expired_keep - context.now);
  const auto room = Uptime::max() - context.uptime;
  return context.uptime + std::min<Uptime>(left, room);
}

Result<std::vector<IdentityDueKey>> identity_due_entries(const kv::Reader& reader, Uptime now, std::size_t limit) {
  const std::string prefix = IdentityDueKey::prefix();
  BERTH_TRY(const auto keys, keys_with_prefix(reader, IdentityDueKey::kFamily, prefix, limit));
  std::vector<IdentityDueKey> entries;
  for (const std::string& bytes : keys) {
    BERTH_TRY(const IdentityDueKey key, IdentityDueKey::decode(bytes));
    if (key.due > now) break;
    entries.push_back(key);
  }
  return entries;
}

}  // namespace berth::registry
