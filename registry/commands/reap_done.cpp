#include "registry/commands/reap_done.h"

#include "registry/commands/totals.h"

namespace berth::registry {

Result<ReapDone::Outcome> ReapDone::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::reap_done, context);
  for (const ReapKey& entry : entries) index.erase(entry);
  // A file that a crash let go before this command has no size any more: an empty queue sets the figure right.
  BERTH_TRY(const bool more, any_with_prefix(index.reader(), ReapKey::kFamily, ReapKey::prefix()));
  if (more) {
    BERTH_CHECK(add_to_total(index, Total::reap_bytes, -static_cast<std::int64_t>(bytes)));
  } else {
    index.erase(TotalKey{Total::reap_bytes});
  }
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
