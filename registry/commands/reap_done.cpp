#include "registry/commands/reap_done.h"

namespace berth::registry {

Result<ReapDone::Outcome> ReapDone::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::reap_done, context);
  for (const ReapKey& entry : entries) index.erase(entry);
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
