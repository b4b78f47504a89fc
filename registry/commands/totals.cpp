#include "registry/commands/totals.h"

#include <algorithm>

namespace berth::registry {

namespace {

/// Calls `visit(key, record)` for each record that begins with `prefix`.
template <class Key, class Visit>
Result<void> each(const kv::Reader& reader, const std::string& prefix, Visit visit) {
  BERTH_TRY(const auto cursor, reader.scan(Key::kFamily, kv::prefix_range(prefix)));
  for (; cursor->valid(); cursor->next()) {
    BERTH_TRY(const Key key, Key::decode(cursor->key()));
    BERTH_TRY(const auto record, decode<typename Key::Record>(cursor->value()));
    visit(key, record);
  }
  return cursor->status();
}

}  // namespace

Result<std::uint64_t> total(const kv::Reader& reader, Total which) {
  BERTH_TRY(const auto found, get(reader, TotalKey{which}));
  return found ? found->value : 0;
}

Result<void> add_to_total(Index& index, Total which, std::int64_t delta) {
  if (delta == 0) return {};
  BERTH_TRY(const auto found, index.get(TotalKey{which}));
  CounterRecord record = found.value_or(CounterRecord{});
  const std::uint64_t less = delta < 0 ? static_cast<std::uint64_t>(-delta) : 0;
  const std::uint64_t more = delta > 0 ? static_cast<std::uint64_t>(delta) : 0;
  record.value += more;
  record.value -= std::min(record.value, less);
  if (record.value == 0) {
    index.erase(TotalKey{which});
  } else {
    index.put(TotalKey{which}, record);
  }
  return {};
}

Result<Totals> recount_totals(const kv::Reader& reader) {
  Totals totals;
  for (const Total which : kTotals) totals[which] = 0;
  BERTH_CHECK(each<RepositoryKey>(reader, RepositoryKey::prefix(), [&](const RepositoryKey&, const RepositoryRecord& r) {
    totals[Total::repositories] += r.state == RepositoryState::live ? 1 : 0;
  }));
  BERTH_CHECK(each<ObjectKey>(reader, ObjectKey::prefix(), [&](const ObjectKey& key, const ObjectRecord& object) {
    totals[key.kind == ObjectKind::blob ? Total::blobs : Total::manifest_objects] += 1;
    totals[Total::bytes] += object.size;
    totals[Total::quarantined] += object.state == ObjectState::quarantined ? 1 : 0;
  }));
  BERTH_CHECK(each<ProjectUsageKey>(reader, ProjectUsageKey::prefix(),
                                    [&](const ProjectUsageKey&, const ProjectUsageRecord& project) {
                                      totals[Total::manifests] += project.manifests;
                                      totals[Total::tags] += project.tags;
                                    }));
  return totals;
}

Result<void> init_totals(Index& index) {
  BERTH_TRY(const auto known, index.get(TotalKey{Total::known}));
  if (known) return {};
  BERTH_TRY(const Totals totals, recount_totals(index.reader()));
  for (const auto& [which, value] : totals) {
    if (value != 0) index.put(TotalKey{which}, CounterRecord{value});
  }
  index.put(TotalKey{Total::known}, CounterRecord{1});
  return {};
}

}  // namespace berth::registry
