#include "registry/pull_counter.h"

#include <utility>

namespace berth::registry {

void PullCounter::count(std::string_view key, const std::string& repository, std::string_view reference,
                        WallTime now) {
  Shard& shard = shards_[Hash{}(key) % kShards];
  const std::lock_guard lock(shard.mutex);
  auto found = shard.entries.find(key);
  if (found == shard.entries.end()) {
    if (shard.entries.size() >= kEntriesMax / kShards) return;
    FoldPulls::Entry entry;
    entry.repository = repository;
    entry.reference = std::string(reference);
    found = shard.entries.emplace(std::string(key), std::move(entry)).first;
  }
  found->second.pulls += 1;
  found->second.last_pull = std::max(found->second.last_pull, now);
}

std::vector<FoldPulls::Entry> PullCounter::take() {
  std::vector<FoldPulls::Entry> all;
  for (Shard& shard : shards_) {
    decltype(shard.entries) entries;
    {
      const std::lock_guard lock(shard.mutex);
      entries.swap(shard.entries);
    }
    for (auto& [key, entry] : entries) all.push_back(std::move(entry));
  }
  return all;
}

}  // namespace berth::registry
