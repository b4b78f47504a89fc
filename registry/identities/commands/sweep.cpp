#include "registry/identities/commands/sweep.h"

#include "registry/identities/commands/credentials.h"
#include "registry/identities/queries.h"

namespace berth::registry {

namespace {

Result<bool> sweep_credential(IdentityChange& change, const IdentityDueKey& entry,
                              std::chrono::milliseconds expired_keep) {
  BERTH_TRY(const auto found, secret_of(change.reader(), entry.id));
  if (!found || found->record.due != entry.due) {
    change.index().erase(entry);
    return false;
  }
  const CommandContext& context = change.context();
  SecretRecord secret = found->record;
  if (secret.expires_at + expired_keep <= context.now) {
    BERTH_CHECK(erase_credential(change, CredentialKey{secret.owner, secret.kind, secret.id}));
    return true;
  }
  change.index().erase(entry);
  secret.due = expiry_due(context, secret.expires_at, expired_keep);
  change.index().put(found->key, secret);
  change.index().put(IdentityDueKey{secret.due, IdentityDueKind::credential, entry.id}, EmptyRecord{});
  return false;
}

/// True when no user of the group is left.
Result<bool> sweep_group(IdentityChange& change, IdentityNumber group, std::size_t& budget) {
  const std::string prefix = GroupUserKey::prefix(group);
  BERTH_TRY(const auto keys, keys_with_prefix(change.reader(), GroupUserKey::kFamily, prefix, budget + 1));
  for (const std::string& bytes : keys) {
    if (budget == 0) return false;
    --budget;
    BERTH_TRY(const GroupUserKey key, GroupUserKey::decode(bytes));
    BERTH_TRY(auto user, change.index().get(UserKey{key.user}));
    if (user) {
      std::erase(user->groups, group);
      change.index().put(UserKey{key.user}, *user);
    }
    change.index().erase(key);
  }
  return true;
}

}  // namespace

Result<SweepIdentities::Outcome> SweepIdentities::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::sweep_identities, context);
  Outcome outcome;
  std::size_t budget = users_max;
  for (const IdentityDueKey& entry : entries) {
    if (entry.kind == IdentityDueKind::credential) {
      BERTH_TRY(const bool expired, sweep_credential(change, entry, expired_keep));
      outcome.expired += expired ? 1 : 0;
      continue;
    }
    BERTH_TRY(const bool done, sweep_group(change, entry.id, budget));
    if (done) change.index().erase(entry);
  }
  if (outcome.expired > 0) {
    change.finish();
  } else {
    change.index().record_change();  // nothing that anybody sees has changed
  }
  return outcome;
}

}  // namespace berth::registry
