#include "registry/identities/use_counter.h"

#include <algorithm>
#include <utility>

namespace berth::registry {

void UseCounter::note(IdentityUse use) {
  // A subject has a colon and a number has none.
  std::string key = use.kind == IdentityUse::Kind::login ? use.subject : std::to_string(use.credential);
  Shard& shard = shards_[std::hash<std::string>{}(key) % kShards];
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.entries.find(key);
  if (found != shard.entries.end()) {
    found->second.when = std::max(found->second.when, use.when);
  } else if (shard.entries.size() < kEntriesMax / kShards) {
    shard.entries.emplace(std::move(key), std::move(use));
  }
}

std::vector<IdentityUse> UseCounter::take() {
  std::vector<IdentityUse> all;
  for (Shard& shard : shards_) {
    decltype(shard.entries) entries;
    {
      const std::lock_guard lock(shard.mutex);
      entries.swap(shard.entries);
    }
    for (auto& [key, use] : entries) all.push_back(std::move(use));
  }
  return all;
}

}  // namespace berth::registry
