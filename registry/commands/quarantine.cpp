#include "registry/commands/quarantine.h"

namespace berth::registry {

Result<Quarantine::Outcome> Quarantine::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::quarantine, context);
  const ObjectKey key{kind, digest};
  BERTH_TRY(auto object, index.get(key));
  if (!object || object->state == ObjectState::quarantined) return Outcome{};
  if (kind == ObjectKind::blob) {
    BERTH_TRY(const auto place, index.get(PlaceKey{digest}));
    if (place && place->file != file) return Outcome{};  // replaced meanwhile
  }
  object->state = ObjectState::quarantined;
  index.put(key, *object);
  index.record_change();
  return Outcome{.quarantined = true};
}

}  // namespace berth::registry
