#include "registry/commands/trim_change_log.h"

namespace berth::registry {

Result<TrimChangeLog::Outcome> TrimChangeLog::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::trim_change_log, context);
  BERTH_TRY(const auto found, index.get(LogStartKey{}));
  LogStartRecord start = found.value_or(LogStartRecord{.number = 1});
  // From the known start, so that the scan does not wade through what was erased before.
  kv::KeyRange range;
  kv::append_u64(range.begin, start.number);
  BERTH_TRY(const auto cursor, index.reader().scan(family::log, range));
  std::vector<std::string> old;
  Outcome outcome;
  while (cursor->valid()) {
    if (cursor->key().size() != 8) return make_error(ErrorCode::corrupt, "the change log holds a damaged key");
    start.number = kv::read_u64(cursor->key());
    BERTH_TRY(const ChangeRecord change, decode<ChangeRecord>(cursor->value()));
    outcome.more = old.size() == kEntriesMax;
    if (change.when >= keep_from || outcome.more) break;
    std::string key(cursor->key());
    cursor->next();
    if (cursor->valid()) old.push_back(std::move(key));  // the newest stays
  }
  BERTH_CHECK(cursor->status());
  if (old.empty()) return Outcome{};

  for (std::string& key : old) index.erase_log_entry(std::move(key));
  index.put(LogStartKey{}, start);
  index.record_change();
  return outcome;
}

}  // namespace berth::registry
