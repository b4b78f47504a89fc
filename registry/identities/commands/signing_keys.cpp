#include "registry/identities/commands/signing_keys.h"

#include <optional>

namespace berth::registry {

namespace {

struct Found {
  std::size_t count = 0;
  std::optional<std::string> active;  ///< id
};
Result<Found> look(const IdentityChange& change) {
  const std::string prefix = SigningKeyKey::prefix();
  BERTH_TRY(const auto keys, keys_with_prefix(change.reader(), SigningKeyKey::kFamily, prefix,
                                              identity_limits::signing_keys));
  Found found;
  found.count = keys.size();
  for (const std::string& bytes : keys) {
    BERTH_TRY(const SigningKeyKey key, SigningKeyKey::decode(bytes));
    BERTH_TRY(const auto record, get(change.reader(), key));
    if (record && record->state == SigningKeyState::active) found.active = key.id;
  }
  return found;
}

Result<void> check_key(const NewTokenKey& key) {
  BERTH_CHECK(check_text(key.id, identity_limits::signing_key_id_bytes, "the id of a key"));
  BERTH_CHECK(check_text(key.algorithm, identity_limits::signing_algorithm_bytes, "an algorithm"));
  if (key.id.empty() || key.algorithm.empty() || key.pkcs8.empty()) {
    return invalid("a key has an id, an algorithm and its bytes");
  }
  if (key.pkcs8.size() > identity_limits::signing_key_bytes) return invalid("the bytes of a key are too many");
  return {};
}

}  // namespace

Result<AddSigningKey::Outcome> AddSigningKey::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::add_signing_key, context);
  BERTH_CHECK(check_key(key));
  BERTH_TRY(const auto taken, change.index().get(SigningKeyKey{key.id}));
  if (taken) return identity_conflict("there is a key " + key.id + " already");
  BERTH_TRY(const Found found, look(change));
  if (found.count >= identity_limits::signing_keys) {
    return invalid("there are " + std::to_string(identity_limits::signing_keys) + " keys already: remove one first");
  }

  BERTH_CHECK(change.begin());
  SigningKeyRecord record;
  record.version = change.number();
  record.algorithm = key.algorithm;
  record.created_at = context.now;
  if (!found.active) {
    record.state = SigningKeyState::active;
    record.activated_at = context.now;
  }
  change.index().put(SigningKeyKey{key.id}, record);
  change.index().put(SigningSecretKey{key.id}, {.pkcs8 = key.pkcs8});
  change.finish();
  return Outcome{record.state};
}

Result<ActivateSigningKey::Outcome> ActivateSigningKey::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::activate_signing_key, context);
  BERTH_TRY(auto record, change.index().get(SigningKeyKey{id}));
  if (!record) return unknown_identity("key", id);
  if (record->state != SigningKeyState::next) return identity_conflict("the key " + id + " has had its time");
  BERTH_TRY(const Found found, look(change));

  BERTH_CHECK(change.begin());
  if (found.active) {
    BERTH_TRY(auto before, change.index().get(SigningKeyKey{*found.active}));
    if (!before) return make_error(ErrorCode::corrupt, "the active key is gone");
    before->state = SigningKeyState::retired;
    before->retired_at = context.now;
    before->version = change.number();
    change.index().put(SigningKeyKey{*found.active}, *before);
  }
  record->state = SigningKeyState::active;
  record->activated_at = context.now;
  record->version = change.number();
  change.index().put(SigningKeyKey{id}, *record);
  change.finish();
  return Outcome{};
}

Result<RemoveSigningKey::Outcome> RemoveSigningKey::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::remove_signing_key, context);
  BERTH_TRY(const auto record, change.index().get(SigningKeyKey{id}));
  if (!record) return unknown_identity("key", id);
  if (record->state == SigningKeyState::active) return identity_conflict("the key " + id + " is active");
  change.index().erase(SigningKeyKey{id});
  change.index().erase(SigningSecretKey{id});
  change.finish();
  return Outcome{};
}

}  // namespace berth::registry
