#include "registry/index.h"

namespace berth::registry {

Result<bool> any_with_prefix(const kv::Reader& reader, kv::Family family, std::string_view prefix) {
  BERTH_TRY(const auto cursor, reader.scan(family, kv::prefix_range(prefix)));
  const bool any = cursor->valid();
  BERTH_CHECK(cursor->status());
  return any;
}

Result<std::vector<std::string>> keys_with_prefix(const kv::Reader& reader, kv::Family family, std::string_view prefix,
                                                  std::size_t limit, std::string_view from) {
  kv::KeyRange range = kv::prefix_range(prefix);
  if (from > range.begin) range.begin = from;
  std::vector<std::string> keys;
  BERTH_TRY(const auto cursor, reader.scan(family, range));
  for (; keys.size() < limit && cursor->valid(); cursor->next()) keys.emplace_back(cursor->key());
  BERTH_CHECK(cursor->status());
  return keys;
}

Result<std::uint64_t> Index::next(Counter counter) {
  BERTH_TRY(const auto found, get(CounterKey{counter}));
  CounterRecord record = found.value_or(CounterRecord{});
  record.value += 1;
  put(CounterKey{counter}, record);
  return record.value;
}

void Index::write(kv::Family family, std::string key, std::optional<std::string> value, bool replicated) {
  if (replicated) changes_[{family, key}] = value;
  if (value) {
    transaction_.put(family, std::move(key), *std::move(value));
  } else {
    transaction_.erase(family, std::move(key));
  }
}

void Index::record_change() {
  if (changes_.empty()) return;
  ChangeRecord change;
  change.command = command_;
  change.actor = context_.actor;
  change.when = context_.now;
  change.request_id = context_.request_id;
  for (auto& [where, value] : changes_) change.writes.push_back({where.first, where.second, std::move(value)});
  transaction_.append(family::log, encode(change));
  changes_.clear();
}

}  // namespace berth::registry
