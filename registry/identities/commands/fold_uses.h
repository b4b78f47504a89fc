// Who came in when, gathered in memory, is added to the index.
#pragma once

#include <vector>

#include "registry/identities/values.h"
#include "registry/index.h"

namespace berth::registry {

struct FoldUses {
  /// Entries worth handing in at once.
  static constexpr std::size_t kEntriesMax = 256;
  struct Outcome {};

  CommandContext context;
  std::vector<IdentityUse> entries;

  /// What is gone by now is skipped. No version moves, since nothing that anybody decides by has changed.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
