// Files that were in the reap queue are removed from the blob store: forget them.
#pragma once

#include <vector>

#include "registry/index.h"

namespace berth::registry {

struct ReapDone {
  struct Outcome {};

  CommandContext context;
  std::vector<ReapKey> entries;
  std::uint64_t bytes = 0;  ///< of the files

  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
