#include "registry/commands/persist_uptime.h"

namespace berth::registry {

Result<PersistUptime::Outcome> PersistUptime::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::persist_uptime, context);
  BERTH_TRY(const auto found, index.get(UptimeKey{}));
  UptimeRecord record = found.value_or(UptimeRecord{});
  if (record.uptime >= context.uptime) return Outcome{};
  record.uptime = context.uptime;
  index.put(UptimeKey{}, record);
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
