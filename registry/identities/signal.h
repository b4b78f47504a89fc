// How readers of identities learn that something changed, without a lock and without reading the index.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace berth::registry {

/// What the commands touch. No cache key begins with this byte: those begin with a namespace.
inline constexpr std::string_view kIdentitiesTouched = "\xffidentities";
inline constexpr std::string_view kPolicyTouched = "\xffpolicy";  ///< a role, a grant or a group

/// Which view shows the newest change. Told by the committer before that view is published, so a reader that takes
/// seen() before it takes a view never files an older answer under a newer number. Thread-safe; told by one thread.
class ChangeMark {
 public:
  /// Takes `view_version` of a view taken after the two atomics; see seen().
  struct Marks {
    std::uint64_t newest = 0;
    std::uint64_t before = 0;
    /// The newest change that a view of this version shows.
    std::uint64_t seen(std::uint64_t view_version) const { return view_version >= newest ? newest : before; }
  };
  void changed(std::uint64_t version) {
    before_.store(newest_.load(std::memory_order_relaxed), std::memory_order_release);
    newest_.store(version, std::memory_order_release);
  }
  /// Taken first, then the view: the change before the newest was published when the newest was announced.
  Marks load() const {
    const std::uint64_t newest = newest_.load(std::memory_order_acquire);
    return {newest, before_.load(std::memory_order_acquire)};
  }

 private:
  std::atomic<std::uint64_t> newest_{0};
  std::atomic<std::uint64_t> before_{0};
};

/// Made before the committer, whose `on_commit` calls invalidate().
struct IdentitySignal {
  ChangeMark any;
  ChangeMark policy;
};

inline std::shared_ptr<IdentitySignal> make_identity_signal() { return std::make_shared<IdentitySignal>(); }

/// `version` is that of the view that shows the changes. Runs on the committer's thread.
inline void invalidate(IdentitySignal& signal, std::span<const std::string> touched, std::uint64_t version) {
  bool any = false, policy = false;
  for (const std::string& key : touched) {
    any = any || key == kIdentitiesTouched;
    policy = policy || key == kPolicyTouched;
  }
  if (policy) signal.policy.changed(version);
  if (any) signal.any.changed(version);
}

}  // namespace berth::registry
