// Who came in when, kept in memory until it is folded into the index.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "registry/identities/values.h"

namespace berth::registry {

/// Only the last time of each counts. More than kEntriesMax different ones between two folds are not remembered: a time
/// that people look at is not worth more memory. Thread-safe; one short lock a call.
class UseCounter {
 public:
  static constexpr std::size_t kEntriesMax = 64 << 10;

  void note(IdentityUse use);
  /// Everything since the last call.
  std::vector<IdentityUse> take();

 private:
  static constexpr std::size_t kShards = 16;
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::string, IdentityUse> entries;
  };
  std::array<Shard, kShards> shards_;
};

}  // namespace berth::registry
