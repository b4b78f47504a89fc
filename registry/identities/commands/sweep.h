// What expired goes, and so do the rows of users whose group was deleted: in bounded steps.
#pragma once

#include <chrono>
#include <vector>

#include "registry/identities/commands/change.h"

namespace berth::registry {

struct SweepIdentities {
  static constexpr std::size_t kEntriesMax = 64;   ///< worth handing in at once
  static constexpr std::size_t kUsersMax = 64;     ///< of deleted groups, in one command
  struct Outcome {
    std::size_t expired = 0;  ///< credentials that are gone now
  };

  CommandContext context;
  std::vector<IdentityDueKey> entries;        ///< due by now
  std::chrono::milliseconds expired_keep{0};  ///< how long what expired stays listed
  std::size_t users_max = kUsersMax;

  /// An entry leaves the queue when its work is done. The queue runs on the up-time clock and what expired is judged by
  /// the wall clock as well: one that jumps for a moment takes nothing.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
