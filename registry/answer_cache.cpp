#include "registry/answer_cache.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace berth::registry {

namespace {

std::size_t hash_of(std::string_view key) { return std::hash<std::string_view>{}(key); }

/// What an entry costs besides its content: two list and map nodes, the control block of a shared pointer.
constexpr std::size_t kEntryOverhead = 256;

std::size_t cost(std::string_view key, const CachedAnswer& answer) {
  std::size_t bytes = kEntryOverhead + key.size();
  if (answer.manifest) bytes += answer.manifest->bytes.size() + answer.manifest->media_type.size();
  if (answer.blob) bytes += answer.blob->size();
  return bytes;
}

}  // namespace

AnswerCache::AnswerCache(std::size_t bytes_max) : shard_bytes_max_(bytes_max / kShards) {}

void AnswerCache::forget(Shard& shard, const Entry& entry) {
  shard.bytes -= entry.bytes;
  if (entry.answer.manifest) shard.manifest_bytes -= entry.bytes;
  shard.by_key.erase(entry.key);
}

void AnswerCache::erase(Shard& shard, std::list<Entry>::iterator entry) {
  forget(shard, *entry);
  shard.entries.erase(entry);
}

CachedAnswer AnswerCache::find(std::string_view key) {
  Shard& shard = shard_of(hash_of(key));
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  if (found == shard.by_key.end()) return {};
  shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
  return found->second->answer;
}

void AnswerCache::insert(std::string_view key, CachedAnswer answer, std::uint64_t version) {
  const std::size_t hash = hash_of(key);
  Shard& shard = shard_of(hash);
  std::list<Entry> dropped;  // freed after the lock
  const std::lock_guard lock(shard.mutex);
  if (version < std::max(shard.all_invalidated, shard.invalidated[(hash / kShards) % kBuckets])) return;
  if (const auto found = shard.by_key.find(key); found != shard.by_key.end()) {
    // What is here is of a view since the last invalidation as well, so it says the same; it may be the other kind.
    const CachedAnswer& kept = found->second->answer;
    if (!answer.manifest) answer.manifest = kept.manifest;
    if (!answer.blob) answer.blob = kept.blob;
    const auto entry = found->second;
    forget(shard, *entry);
    dropped.splice(dropped.begin(), shard.entries, entry);
  }
  const std::size_t bytes = cost(key, answer);
  // One answer may not push out a whole shard.
  if (bytes > shard_bytes_max_ / 2) return;
  while (shard.bytes + bytes > shard_bytes_max_) {
    const auto last = std::prev(shard.entries.end());
    forget(shard, *last);
    dropped.splice(dropped.begin(), shard.entries, last);
  }
  shard.entries.push_front(Entry{std::string(key), std::move(answer), bytes});
  shard.by_key.emplace(shard.entries.front().key, shard.entries.begin());
  shard.bytes += bytes;
  if (shard.entries.front().answer.manifest) shard.manifest_bytes += bytes;
}

void AnswerCache::invalidate(std::span<const std::string> touched, std::uint64_t version) {
  for (const std::string& key : touched) {
    if (key.ends_with('\0')) {
      invalidate_prefix(key, version);
    } else {
      invalidate_one(key, version);
    }
  }
}

void AnswerCache::invalidate_one(const std::string& key, std::uint64_t version) {
  const std::size_t hash = hash_of(key);
  Shard& shard = shard_of(hash);
  const std::lock_guard lock(shard.mutex);
  std::uint64_t& last = shard.invalidated[(hash / kShards) % kBuckets];
  last = std::max(last, version);
  if (const auto found = shard.by_key.find(key); found != shard.by_key.end()) erase(shard, found->second);
}

void AnswerCache::invalidate_prefix(const std::string& prefix, std::uint64_t version) {
  // A repository was deleted: rare enough to look at every entry.
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    shard.all_invalidated = std::max(shard.all_invalidated, version);
    for (auto entry = shard.entries.begin(); entry != shard.entries.end();) {
      const auto here = entry++;
      if (here->key.starts_with(prefix)) erase(shard, here);
    }
  }
}

std::size_t AnswerCache::size_bytes() const {
  std::size_t bytes = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    bytes += shard.bytes;
  }
  return bytes;
}

std::size_t AnswerCache::manifest_bytes() const {
  std::size_t bytes = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    bytes += shard.manifest_bytes;
  }
  return bytes;
}

std::size_t AnswerCache::entries() const {
  std::size_t count = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    count += shard.entries.size();
  }
  return count;
}

std::shared_ptr<AnswerCache> make_answer_cache(std::size_t bytes_max) {
  return std::make_shared<AnswerCache>(bytes_max);
}

void invalidate(AnswerCache& cache, std::span<const std::string> touched, std::uint64_t version) {
  cache.invalidate(touched, version);
}

}  // namespace berth::registry
