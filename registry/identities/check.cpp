#include "registry/identities/check.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "registry/identities/records.h"
#include "registry/identities/rules.h"
#include "registry/index.h"
#include "registry/tables.h"

namespace berth::registry {

namespace {

struct Everyone {
  Table<ActorKey> actors;
  Table<ActorOfKey> actors_of;
  Table<UserKey> users;
  Table<PasswordKey> passwords;
  Table<GroupKey> groups;
  Table<GroupNameKey> group_names;
  Table<GroupUserKey> group_users;
  Table<MembershipKey> memberships;
  Table<RobotKey> robots;
  Table<CredentialKey> credentials;
  Table<SecretKey> secrets;
  Table<SecretOfKey> secrets_of;
  Table<RoleKey> roles;
  Table<GrantKey> grants;
  Table<GrantOfKey> grants_of;
  Table<RoleUseKey> role_uses;
  Table<SigningKeyKey> signing_keys;
  Table<SigningSecretKey> signing_secrets;
  Table<IdentityDueKey> due;
  TotalsRecord totals;
};

template <class Key>
Result<void> load_all(const kv::Reader& reader, Table<Key>& table) {
  return load(reader, Key::prefix(), table);
}

Result<Everyone> load_everyone(const kv::Reader& reader) {
  Everyone all;
  BERTH_CHECK(load_all(reader, all.actors));
  BERTH_CHECK(load_all(reader, all.actors_of));
  BERTH_CHECK(load_all(reader, all.users));
  BERTH_CHECK(load_all(reader, all.passwords));
  BERTH_CHECK(load_all(reader, all.groups));
  BERTH_CHECK(load_all(reader, all.group_names));
  BERTH_CHECK(load_all(reader, all.group_users));
  BERTH_CHECK(load_all(reader, all.memberships));
  BERTH_CHECK(load_all(reader, all.robots));
  BERTH_CHECK(load_all(reader, all.credentials));
  BERTH_CHECK(load_all(reader, all.secrets));
  BERTH_CHECK(load_all(reader, all.secrets_of));
  BERTH_CHECK(load_all(reader, all.roles));
  BERTH_CHECK(load_all(reader, all.grants));
  BERTH_CHECK(load_all(reader, all.grants_of));
  BERTH_CHECK(load_all(reader, all.role_uses));
  BERTH_CHECK(load_all(reader, all.signing_keys));
  BERTH_CHECK(load_all(reader, all.signing_secrets));
  BERTH_CHECK(load_all(reader, all.due));
  BERTH_TRY(const auto totals, get(reader, TotalsKey{}));
  all.totals = totals.value_or(TotalsRecord{});
  return all;
}

/// Looks at everything, rule by rule.
class Check {
 public:
  Check(const Everyone& all, std::size_t findings_max) : all_(all), findings_max_(findings_max) {}

  std::vector<std::string> run() {
    actors();
    users();
    groups();
    credentials();
    grants();
    signing_keys();
    due();
    const TotalsRecord counted{all_.users.size(), all_.groups.size(), all_.robots.size(), all_.roles.size(),
                               all_.grants.size()};
    expect(counted == all_.totals, "identities are counted right", "");
    return std::move(findings_);
  }

 private:
  void expect(bool holds, std::string_view rule, const std::string& what) {
    if (holds || findings_.size() >= findings_max_) return;
    findings_.push_back("broken rule: " + std::string(rule) + (what.empty() ? "" : "; " + what));
  }

  void actors() {
    for (const auto& [key, binding] : all_.actors_of) {
      const ActorRecord* actor = find(all_.actors, {binding.actor});
      expect(actor != nullptr && actor->subject == key.subject, "a subject leads to its actor", key.subject);
    }
    const auto bound = [&](const std::string& subject, ActorId actor) {
      const ActorBinding* binding = find(all_.actors_of, {subject});
      expect(binding != nullptr && binding->actor == actor, "a local user or robot is bound to its actor", subject);
    };
    for (const auto& [key, user] : all_.users) bound(user_subject(key.name), user.actor);
    for (const auto& [key, robot] : all_.robots) bound(robot_subject(key.name), robot.actor);
  }

  void users() {
    for (const auto& [key, user] : all_.users) {
      expect(all_.passwords.contains({key.name}) == (user.password_changed_at != WallTime{}),
             "a password is there when the user says so", key.name);
      expect(std::ranges::is_sorted(user.groups), "groups of a user are in order", key.name);
      for (const IdentityNumber group : user.groups) {
        expect(all_.group_users.contains({group, key.name}), "a group knows its users", key.name);
      }
    }
    for (const auto& [key, password] : all_.passwords) {
      expect(all_.users.contains({key.user}), "a password has its user", key.user);
    }
    for (const auto& [key, row] : all_.group_users) {
      const UserRecord* user = find(all_.users, {key.user});
      expect(user != nullptr && std::ranges::binary_search(user->groups, key.group), "a user of a group says so",
             key.user);
      if (all_.group_names.contains({key.group})) continue;
      const bool swept = std::ranges::any_of(all_.due, [id = key.group](const auto& entry) {
        return entry.first.kind == IdentityDueKind::group && entry.first.id == id;
      });
      expect(swept, "what is left of a deleted group is due", key.user);
    }
  }

  void groups() {
    for (const auto& [key, group] : all_.groups) {
      const GroupNameRecord* name = find(all_.group_names, {group.id});
      expect(name != nullptr && name->name == key.name, "a group is known by its id", key.name);
      for (const std::string& member : group.members) {
        expect(all_.memberships.contains({member, group.id}), "a member from outside has its row", key.name);
      }
    }
    for (const auto& [key, record] : all_.group_names) {
      const GroupRecord* group = find(all_.groups, {record.name});
      expect(group != nullptr && group->id == key.group, "an id leads to its group", record.name);
    }
    for (const auto& [key, row] : all_.memberships) {
      const GroupNameRecord* name = find(all_.group_names, {key.group});
      const GroupRecord* group = name == nullptr ? nullptr : find(all_.groups, {name->name});
      expect(group != nullptr && std::ranges::binary_search(group->members, key.subject),
             "a row of a member from outside has its group", key.subject);
    }
  }

  void credentials() {
    std::map<std::pair<std::string, CredentialKind>, std::size_t> counts;
    for (const auto& [key, credential] : all_.credentials) {
      const std::string what = key.owner + " " + std::to_string(key.id);
      const std::size_t count = ++counts[{key.owner, key.kind}];
      const std::size_t most = key.kind == CredentialKind::robot_secret     ? identity_limits::secrets_per_robot
                               : key.kind == CredentialKind::personal_token ? identity_limits::tokens_per_owner
                                                                            : identity_limits::refresh_tokens_per_owner;
      expect(count <= most, "no owner has more credentials than may be", what);
      if (key.owner.starts_with("robot:")) {
        expect(all_.robots.contains({key.owner.substr(6)}), "a credential of a robot has its robot", what);
      }
      const SecretOfRecord* of = find(all_.secrets_of, {key.id});
      SecretKey secret_key;
      const bool sized = of != nullptr && of->hash.size() == secret_key.hash.size();
      if (sized) std::memcpy(secret_key.hash.data(), of->hash.data(), of->hash.size());
      const SecretRecord* secret = sized ? find(all_.secrets, secret_key) : nullptr;
      const bool same = secret != nullptr && secret->owner == key.owner && secret->kind == key.kind &&
                        secret->id == key.id && secret->name == credential.name &&
                        secret->service == credential.service && secret->client_id == credential.client_id &&
                        secret->ceiling == credential.ceiling && secret->created_at == credential.created_at &&
                        secret->expires_at == credential.expires_at;
      expect(same, "a credential and the record by its hash say the same", what);
    }
    for (const auto& [key, secret] : all_.secrets) {
      const std::string what = secret.owner + " " + std::to_string(secret.id);
      expect(all_.credentials.contains({secret.owner, secret.kind, secret.id}), "a hash leads to a credential", what);
      expect((secret.due == Uptime{0}) == (secret.expires_at == WallTime{}), "what expires has a due time", what);
      expect(secret.due == Uptime{0} || all_.due.contains({secret.due, IdentityDueKind::credential, secret.id}),
             "what expires has its due entry", what);
    }
    expect(all_.secrets.size() == all_.credentials.size() && all_.secrets_of.size() == all_.credentials.size(),
           "every credential is found by one hash", "");
  }

  void grants() {
    std::size_t subjects = 0, roles = 0;
    for (const auto& [key, grant] : all_.grants) {
      const std::string what = std::to_string(key.grant);
      for (const std::string& subject : grant.subjects) {
        expect(all_.grants_of.contains({subject, key.grant}), "a subject knows its grants", what);
      }
      expect(!grant.subjects.empty(), "a grant names somebody", what);
      expect(grant.role.empty() != (grant.actions == 0), "a grant has either actions or a role", what);
      expect(grant.role.empty() || all_.role_uses.contains({grant.role, key.grant}), "a role knows its grants", what);
      subjects += grant.subjects.size();
      roles += grant.role.empty() ? 0 : 1;
    }
    expect(all_.grants_of.size() == subjects, "rows of subjects belong to grants", "");
    expect(all_.role_uses.size() == roles, "rows of roles belong to grants", "");
    for (const auto& [key, role] : all_.roles) {
      expect(find_built_in_role(key.name) == nullptr, "no stored role has the name of a built-in one", key.name);
    }
  }

  void signing_keys() {
    std::size_t active = 0;
    for (const auto& [key, record] : all_.signing_keys) {
      active += record.state == SigningKeyState::active ? 1 : 0;
      expect(all_.signing_secrets.contains({key.id}), "a signing key has its bytes", key.id);
    }
    expect(active <= 1, "at most one signing key is active", "");
    expect(all_.signing_secrets.size() == all_.signing_keys.size(), "bytes of a signing key have their key", "");
  }

  void due() {
    for (const auto& [key, row] : all_.due) {
      if (key.kind != IdentityDueKind::credential) continue;
      expect(all_.secrets_of.contains({key.id}), "what is due is there", std::to_string(key.id));
    }
  }

  const Everyone& all_;
  std::size_t findings_max_;
  std::vector<std::string> findings_;
};

}  // namespace

Result<std::vector<std::string>> check_identities(const kv::Reader& reader, std::size_t findings_max) {
  BERTH_TRY(const Everyone all, load_everyone(reader));
  return Check(all, findings_max).run();
}

}  // namespace berth::registry
