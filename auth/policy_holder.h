// The policy of now: what the configuration says and what is stored, made anew when one of them moved.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "auth/policy.h"
#include "base/task.h"

namespace berth::registry {
class Identities;
}

namespace berth::auth {

/// The place of the calling thread among so many: threads keep to their own places and share them only when there are
/// more threads than places.
std::size_t thread_place(std::size_t places);

/// Thread-safe.
class PolicyHolder {
 public:
  /// Both outlive it. Not `enabled`: everybody may do everything but manage accounts.
  PolicyHolder(registry::Identities& identities, Pool& pool, bool enabled, std::vector<Role> roles,
               std::vector<Grant> grants);

  /// Not older than every change that was acknowledged before the call. While nothing changes it takes no lock that
  /// another thread holds and touches no count that another one does. Errors: those of the identities.
  Task<std::shared_ptr<const Policy>> current();
  /// The same in place, for who just took that version of the identities; null when it is not at hand. What it answers
  /// may live no longer than this.
  std::shared_ptr<const Policy> recall(std::uint64_t identities_version);
  void set_configured(std::vector<Role> roles, std::vector<Grant> grants);
  /// Moves with set_configured().
  std::uint64_t generation() const { return shared_->generation.load(std::memory_order_acquire); }

 private:
  struct Configured {
    std::vector<Role> roles;
    std::vector<Grant> grants;
    std::uint64_t generation = 0;
  };
  /// The newest policy that was made. Shared with the jobs that make one, which may outlive the caller.
  struct Shared {
    std::mutex making;  ///< one at a time; the others find what it made
    std::mutex mutex;   ///< guards what follows
    std::shared_ptr<const Configured> configured;
    std::shared_ptr<const Policy> policy;
    std::uint64_t stored_version = 0;  ///< of what it was made of
    std::uint64_t policy_generation = 0;
    std::atomic<std::uint64_t> generation{0};
    std::shared_ptr<const Policy> find(std::uint64_t version, std::uint64_t wanted);
  };
  struct alignas(64) Place {
    std::mutex mutex;
    std::shared_ptr<const Policy> policy;
    std::uint64_t version = 0;
    std::uint64_t generation = 0;
  };

  registry::Identities& identities_;
  Pool& pool_;
  const std::shared_ptr<const Policy> open_;  ///< set when not enabled
  const std::shared_ptr<Shared> shared_;
  std::array<Place, 32> places_;
};

}  // namespace berth::auth
