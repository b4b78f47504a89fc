#include "registry/commands/quarantine.h"

#include "registry/commands/totals.h"

namespace berth::registry {

namespace {

/// What lies in the index is looked at again: a push may have healed it since it was read.
Result<bool> is_sound(const Index& index, const ContentKey& key) {
  const auto bytes = index.reader().get(ContentKey::kFamily, key.encode());
  if (bytes.failed_with(ErrorCode::would_block)) return bytes.error();
  return bytes && *bytes && oci::hash(key.digest.algorithm(), as_bytes(**bytes)) == key.digest;
}

}  // namespace

Result<Quarantine::Outcome> Quarantine::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::quarantine, context);
  const ObjectKey key{kind, digest};
  BERTH_TRY(auto object, index.get(key));
  if (!object || object->state == ObjectState::quarantined) return Outcome{};
  bool in_index = true;
  if (kind == ObjectKind::blob) {
    BERTH_TRY(const auto place, index.get(PlaceKey{digest}));
    if (place && place->file != file) return Outcome{};  // replaced meanwhile
    in_index = place && place->is_inline();
  }
  if (in_index) {
    BERTH_TRY(const bool sound, is_sound(index, {kind, digest}));
    if (sound) return Outcome{};
  }
  BERTH_CHECK(add_to_total(index, Total::quarantined, 1));
  object->state = ObjectState::quarantined;
  index.put(key, *object);
  index.record_change();
  return Outcome{.quarantined = true};
}

}  // namespace berth::registry
