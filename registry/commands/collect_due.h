// Works off what has fallen due: links that nothing refers to, deleted manifests, deleted repositories, tags that a
// deleted manifest left behind. Collection reads this queue and nothing else.
#pragma once

#include <cstdint>
#include <vector>

#include "registry/index.h"

namespace berth::registry {

/// Due entries are lazy: what one speaks of is looked at again here, and an entry that was overtaken (extended, held by
/// an edge again, brought back, gone) is simply forgotten. Ask queries.h for the entries, submit them, and ask again
/// while there are any: an entry whose work is larger than one step stays at the front of the queue.
struct CollectDue {
  /// About how many records one command changes before it leaves the rest to the next.
  static constexpr std::size_t kRecordsMax = 256;
  /// Entries worth handing in at once.
  static constexpr std::size_t kEntriesMax = 64;

  struct Outcome {
    std::size_t finished = 0;  ///< entries, from the front of `entries`, that need no further work
    std::uint64_t blobs = 0;         ///< dropped from the index
    std::uint64_t manifests = 0;     ///< likewise
    std::uint64_t repositories = 0;  ///< purged to their end
    std::uint64_t bytes = 0;         ///< given back by the index; those of files come when they are removed
  };

  CommandContext context;
  std::vector<DueKey> entries;  ///< as due_entries answered them; those not due yet at context.uptime are left alone
  Periods periods;
  std::size_t records_max = kRecordsMax;

  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
