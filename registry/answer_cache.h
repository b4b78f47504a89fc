// Answers that were resolved a moment ago: hot manifests and small blobs, found without asking the index.
//
// How it works: a sharded LRU, bounded in bytes, keyed by what registry/keys names with cache_key(). A change of the
// index touches the keys of what it changed; the committer calls invalidate() with them *before* it publishes the view
// that holds the change. What an old reader may still be about to insert is refused: every insert carries the version
// of the view it was read from, and each shard remembers, per bucket of key hashes, the version of the last
// invalidation. A bucket is shared by many keys, so that table is small and of fixed size; at worst a fresh answer is
// not kept once. Absence is never cached. A manifest and a blob may share a digest and so a key: an entry holds either or
// both. A touched key that ends in a zero byte (cache_key without a reference) stands for all that start with it.
//
// Thread-safe; one short lock a call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "registry/manifest_type.h"
#include "registry/registry.h"

namespace berth::registry {

/// The bytes of a small blob.
using BlobBytes = std::shared_ptr<const std::string>;
/// What a key stands for; null where it is not here.
struct CachedAnswer {
  std::shared_ptr<const ResolvedManifest> manifest = {};
  BlobBytes blob = {};
};

class AnswerCache {
 public:
  /// `bytes_max` counts content and keys; 0 keeps nothing.
  explicit AnswerCache(std::size_t bytes_max);

  CachedAnswer find(std::string_view key);
  /// Keeps `answer`, which was read from a view of `version`, unless its key was invalidated by a later one or it is too
  /// large to be worth its room.
  void insert(std::string_view key, CachedAnswer answer, std::uint64_t version);
  /// Forgets the keys; `version` is that of the view about to be published.
  void invalidate(std::span<const std::string> touched, std::uint64_t version);

  std::size_t size_bytes() const;
  std::size_t manifest_bytes() const;  ///< of entries that hold a manifest; the others hold blobs
  std::size_t entries() const;

 private:
  static constexpr std::size_t kShards = 8;
  static constexpr std::size_t kBuckets = 512;

  struct Entry {
    std::string key;
    CachedAnswer answer;
    std::size_t bytes = 0;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::list<Entry> entries;  // most recently used first
    std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key;  // views into the entries' keys
    std::size_t bytes = 0;
    std::size_t manifest_bytes = 0;
    std::array<std::uint64_t, kBuckets> invalidated{};  // version of the last invalidation, by bucket of key hashes
    std::uint64_t all_invalidated = 0;                  // the same of one that may have hit any bucket
  };

  Shard& shard_of(std::size_t hash) { return shards_[hash % kShards]; }
  /// Takes an entry out of the map and the sums; it stays in the list.
  static void forget(Shard& shard, const Entry& entry);
  static void erase(Shard& shard, std::list<Entry>::iterator entry);
  void invalidate_one(const std::string& key, std::uint64_t version);
  void invalidate_prefix(const std::string& prefix, std::uint64_t version);

  std::size_t shard_bytes_max_;
  std::array<Shard, kShards> shards_;
};

}  // namespace berth::registry
