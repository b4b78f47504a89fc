// Pulls that were counted in memory are added to the index.
#pragma once

#include <string>
#include <vector>

#include "registry/index.h"

namespace berth::registry {

struct FoldPulls {
  /// Entries worth handing in at once.
  static constexpr std::size_t kEntriesMax = 256;

  struct Entry {
    NamespaceId name_space = kLocalNamespace;
    std::string repository;
    std::string reference;  ///< a tag or a digest text
    std::uint64_t pulls = 0;
    WallTime last_pull{};
  };
  struct Outcome {};

  CommandContext context;
  std::vector<Entry> entries;

  /// What is gone by now is skipped.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
