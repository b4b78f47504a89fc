#include "registry/identities/commands/credentials.h"

#include "registry/identities/queries.h"

namespace berth::registry {

namespace {

struct KindRules {
  std::string_view noun;
  std::size_t count_max;
};
KindRules rules_of(CredentialKind kind) {
  switch (kind) {
    case CredentialKind::robot_secret:
      return {"secrets of a robot", identity_limits::secrets_per_robot};
    case CredentialKind::personal_token:
      return {"tokens of one owner", identity_limits::tokens_per_owner};
    case CredentialKind::refresh_token:
      break;
  }
  return {"refresh tokens of one owner", identity_limits::refresh_tokens_per_owner};
}

/// No owner has more credentials than this, so all of them go in one command.
constexpr std::size_t kCredentialsMax = identity_limits::secrets_per_robot + identity_limits::tokens_per_owner +
                                        identity_limits::refresh_tokens_per_owner;

Result<void> check_owner(const IdentityChange& change, CredentialKind kind, const std::string& owner,
                         OwnerOrigin origin) {
  BERTH_TRY(const SubjectKind subject, parse_subject(owner));
  const std::string name = owner.substr(owner.find(':') + 1);
  const bool is_person = subject == SubjectKind::user || subject == SubjectKind::federated ||
                         subject == SubjectKind::certificate;
  const bool is_robot = subject == SubjectKind::robot;
  if (kind == CredentialKind::robot_secret && !is_robot) return invalid("only a robot has secrets");
  if (kind == CredentialKind::personal_token && !is_person) {
    return invalid("a token belongs to a user, a federated identity or a certificate");
  }
  if (!is_person && !is_robot) return invalid("a refresh token belongs to somebody who can come in");
  if (is_robot) {
    BERTH_TRY(const auto robot, get(change.reader(), RobotKey{name}));
    if (!robot) return unknown_identity("robot", name);
  }
  if (subject == SubjectKind::user && origin == OwnerOrigin::local) {
    BERTH_TRY(const auto user, get(change.reader(), UserKey{name}));
    if (!user) return unknown_identity("user", name);
  }
  return {};
}

Result<std::vector<CredentialKey>> keys_of(const kv::Reader& reader, const std::string& prefix) {
  BERTH_TRY(const auto keys, keys_with_prefix(reader, CredentialKey::kFamily, prefix, kCredentialsMax));
  std::vector<CredentialKey> decoded;
  for (const std::string& bytes : keys) {
    BERTH_TRY(CredentialKey key, CredentialKey::decode(bytes));
    decoded.push_back(std::move(key));
  }
  return decoded;
}

/// Which ones have to go so that one more finds room: those that expired, and of refresh tokens the oldest.
Result<std::vector<CredentialKey>> make_room(const IdentityChange& change, CredentialKind kind,
                                             const std::string& owner) {
  BERTH_TRY(std::vector<CredentialKey> keys, keys_of(change.reader(), CredentialKey::prefix(owner, kind)));
  const KindRules rules = rules_of(kind);
  std::vector<CredentialKey> leave;
  if (keys.size() < rules.count_max) return leave;
  std::vector<CredentialKey> live;
  for (const CredentialKey& key : keys) {
    BERTH_TRY(const auto record, get(change.reader(), key));
    const bool expired =
        record && record->expires_at != WallTime{} && record->expires_at <= change.context().now;
    (expired ? leave : live).push_back(key);
  }
  if (live.size() < rules.count_max) return leave;
  if (kind != CredentialKind::refresh_token) {
    return invalid("there are " + std::to_string(rules.count_max) + " " + std::string(rules.noun) +
                   " already: revoke one first");
  }
  leave.push_back(live.front());
  return leave;
}

}  // namespace

Result<void> check_credential(const IdentityChange& change, CredentialKind kind, const NewCredential& credential) {
  BERTH_CHECK(check_text(credential.name, identity_limits::token_name_bytes, "the name of a token"));
  if (kind == CredentialKind::personal_token && credential.name.empty()) return invalid("a token has a name");
  BERTH_CHECK(check_text(credential.service, identity_limits::service_bytes, "a service"));
  BERTH_CHECK(check_text(credential.client_id, identity_limits::service_bytes, "a client id"));
  BERTH_CHECK(check_ceiling(credential.ceiling));
  BERTH_CHECK(check_expiry(credential.expires_at, change.context().now));
  BERTH_TRY(const auto taken, get(change.reader(), SecretKey{credential.hash}));
  if (taken) return identity_conflict("this secret is in use");
  return {};
}

Credential put_credential(IdentityChange& change, CredentialKind kind, const std::string& owner,
                          const NewCredential& credential, std::chrono::milliseconds expired_keep) {
  const CommandContext& context = change.context();
  const IdentityNumber id = change.number();
  CredentialRecord record;
  record.name = credential.name;
  record.service = credential.service;
  record.client_id = credential.client_id;
  record.ceiling = credential.ceiling;
  record.created_at = context.now;
  record.created_by = context.actor;
  record.expires_at = credential.expires_at;
  SecretRecord secret;
  secret.kind = kind;
  secret.owner = owner;
  secret.id = id;
  secret.name = credential.name;
  secret.service = credential.service;
  secret.client_id = credential.client_id;
  secret.ceiling = credential.ceiling;
  secret.created_at = context.now;
  secret.expires_at = credential.expires_at;
  if (credential.expires_at != WallTime{}) {
    secret.due = expiry_due(context, credential.expires_at, expired_keep);
    change.index().put(IdentityDueKey{secret.due, IdentityDueKind::credential, id}, EmptyRecord{});
  }
  const CredentialKey key{owner, kind, id};
  change.index().put(key, record);
  change.index().put(SecretKey{credential.hash}, secret);
  const std::string hash(reinterpret_cast<const char*>(credential.hash.data()), credential.hash.size());
  change.index().put(SecretOfKey{id}, {.hash = hash});
  return credential_of(key, record);
}

Result<void> erase_credential(IdentityChange& change, const CredentialKey& key) {
  BERTH_TRY(const auto secret, secret_of(change.reader(), key.id));
  if (secret) {
    if (secret->record.due != Uptime{0}) {
      change.index().erase(IdentityDueKey{secret->record.due, IdentityDueKind::credential, key.id});
    }
    change.index().erase(secret->key);
    change.index().erase(SecretOfKey{key.id});
  }
  change.index().erase(key);
  return {};
}

Result<std::size_t> erase_credentials(IdentityChange& change, const std::string& owner,
                                      std::optional<CredentialKind> kind) {
  const std::string prefix = kind ? CredentialKey::prefix(owner, *kind) : CredentialKey::prefix(owner);
  BERTH_TRY(const std::vector<CredentialKey> keys, keys_of(change.reader(), prefix));
  for (const CredentialKey& key : keys) BERTH_CHECK(erase_credential(change, key));
  return keys.size();
}

Result<AddCredential::Outcome> AddCredential::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::add_credential, context);
  BERTH_CHECK(check_owner(change, kind, owner, origin));
  BERTH_CHECK(check_credential(change, kind, credential));
  BERTH_TRY(const std::vector<CredentialKey> leave, make_room(change, kind, owner));
  BERTH_CHECK(change.begin());
  for (const CredentialKey& key : leave) BERTH_CHECK(erase_credential(change, key));
  Credential made = put_credential(change, kind, owner, credential, expired_keep);
  change.finish();
  return made;
}

Result<RevokeCredentials::Outcome> RevokeCredentials::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::revoke_credentials, context);
  Outcome outcome;
  if (id) {
    const CredentialKey key{owner, kind, *id};
    BERTH_TRY(const auto found, change.index().get(key));
    if (!found) return unknown_identity("token", std::to_string(*id));
    BERTH_CHECK(erase_credential(change, key));
    outcome.revoked = 1;
  } else {
    BERTH_TRY(outcome.revoked, erase_credentials(change, owner, kind));
  }
  if (outcome.revoked > 0) change.finish();
  return outcome;
}

}  // namespace berth::registry
