// Pulls, counted in memory until the collector folds them into the index.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/env.h"
#include "registry/commands/fold_pulls.h"

namespace berth::registry {

/// Pulls of more references than kEntriesMax between two folds go uncounted: a figure for people is not worth more
/// memory. Thread-safe; one short lock a call.
class PullCounter {
 public:
  static constexpr std::size_t kEntriesMax = 64 << 10;

  /// `key` is the cache_key of repository and reference.
  void count(std::string_view key, const std::string& repository, std::string_view reference, WallTime now);
  /// Everything counted since the last call.
  std::vector<FoldPulls::Entry> take();

 private:
  static constexpr std::size_t kShards = 16;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const { return std::hash<std::string_view>{}(key); }
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::string, FoldPulls::Entry, Hash, std::equal_to<>> entries;
  };
  std::array<Shard, kShards> shards_;
};

}  // namespace berth::registry
