// Old entries of the change log go, a bounded number at a time.
#pragma once

#include "registry/index.h"

namespace berth::registry {

/// Erases entries from the front that are older than `keep_from`. The newest entry always stays, so that numbering goes
/// on after a restart.
struct TrimChangeLog {
  static constexpr std::size_t kEntriesMax = 1024;

  struct Outcome {
    bool more = false;  ///< stopped at kEntriesMax: submit again
  };

  CommandContext context;
  WallTime keep_from{};

  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
