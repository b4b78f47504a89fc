// What readers of identities ask, on a view. All but the snapshot cost what they answer. Errors: those of the reader,
// corrupt; absence is an empty optional.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "registry/identities/values.h"
#include "registry/index.h"
#include "storage/kv/kv.h"

namespace berth::registry {

// ---- records as values ----

Result<User> user_of(const kv::Reader& reader, const std::string& name, const UserRecord& record);
Result<Robot> robot_of(const kv::Reader& reader, const std::string& name, const RobotRecord& record);
Group group_of(const std::string& name, const GroupRecord& record);
Role role_of(const std::string& name, const RoleRecord& record);
StoredGrant grant_of(IdentityNumber id, const GrantRecord& record);
Credential credential_of(const CredentialKey& key, const CredentialRecord& record);

// ---- one ----

Result<std::optional<User>> find_user(const kv::Reader& reader, const std::string& name);
/// With the hash of the password.
Result<std::optional<LoginUser>> find_login(const kv::Reader& reader, const std::string& name);
Result<std::optional<Group>> find_group(const kv::Reader& reader, const std::string& name);
/// The groups that list a subject from outside; names, ascending.
Result<std::vector<std::string>> groups_listing(const kv::Reader& reader, const std::string& subject);
Result<std::optional<Robot>> find_robot(const kv::Reader& reader, const std::string& name);
/// One get. `last_used_at` is not known here.
Result<std::optional<Credential>> find_credential(const kv::Reader& reader, const SecretHash& hash);
Result<std::optional<Role>> find_role(const kv::Reader& reader, const std::string& name);
Result<std::optional<StoredGrant>> find_grant(const kv::Reader& reader, IdentityNumber id);
Result<std::optional<ActorName>> find_actor(const kv::Reader& reader, ActorId actor);
/// The actor that a subject has now.
Result<std::optional<ActorId>> actor_of(const kv::Reader& reader, const std::string& subject);

// ---- pages: what comes after `last`, at most `n` ----

Result<IdentityPage<User>> list_users(const kv::Reader& reader, std::size_t n, std::string_view last);
/// Names of the local users of a group. Empty optional: there is no such group.
Result<std::optional<IdentityPage<std::string>>> list_group_users(const kv::Reader& reader, const std::string& group,
                                                                  std::size_t n, std::string_view last);
Result<IdentityPage<Group>> list_groups(const kv::Reader& reader, std::size_t n, std::string_view last);
Result<IdentityPage<Robot>> list_robots(const kv::Reader& reader, std::size_t n, std::string_view last);
/// Of an owner and a kind, in the order they were made.
Result<IdentityPage<Credential>> list_credentials(const kv::Reader& reader, const std::string& owner,
                                                  CredentialKind kind, std::size_t n, IdentityNumber last);
/// Built-in ones among them.
Result<IdentityPage<Role>> list_roles(const kv::Reader& reader, std::size_t n, std::string_view last);
/// In the order they were made.
Result<IdentityPage<StoredGrant>> list_grants(const kv::Reader& reader, std::size_t n, IdentityNumber last);
/// Those that name a subject: a bounded number.
Result<std::vector<StoredGrant>> list_grants_of(const kv::Reader& reader, const std::string& subject);
/// With their bytes: a bounded number.
Result<std::vector<TokenKey>> list_token_keys(const kv::Reader& reader);
Result<TotalsRecord> totals(const kv::Reader& reader);

/// All roles, grants and names of groups; its version is left to the caller.
Result<PolicySnapshot> read_policy(const kv::Reader& reader);

// ---- for the sweep ----

struct FoundSecret {
  SecretKey key;
  SecretRecord record;
};
/// What a credential is found by.
Result<std::optional<FoundSecret>> secret_of(const kv::Reader& reader, IdentityNumber credential);
/// When to look whether something expired: after it did, by both clocks, and stayed listed for a while.
Uptime expiry_due(const CommandContext& context, WallTime expires_at, std::chrono::milliseconds expired_keep);
/// At most `limit` entries that are due, the oldest first.
Result<std::vector<IdentityDueKey>> identity_due_entries(const kv::Reader& reader, Uptime now, std::size_t limit);

}  // namespace berth::registry
