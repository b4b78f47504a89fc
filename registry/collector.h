// What happens by itself: what is due is worked off, files are unlinked, sessions expire, pulls are folded in, the
// up-time clock is written down, the disk is looked at.
//
// Two threads with steady waits. One makes passes: it reads the queues of the index and never walks the store; every
// change is a command in bounded steps, so pushes and pulls go on between any two. A pass may take minutes, after a large
// repository went or when a damaged file is read. What must not wait for it is done by the other one: while a pass makes
// room pushes are taken again, and while it fills the disk the ballast is given up.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "registry/core.h"
#include "registry/keys.h"

namespace berth::registry {

/// Thread-safe.
class Collector {
 public:
  /// `core` outlives it. `uptime_persisted` is what the store holds.
  Collector(Core& core, Uptime uptime_persisted);
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;
  /// Stops.
  ~Collector();

  void start();
  /// Ends the threads after their current step, folds in what was counted and writes the clock down, unless there is a pause.
  /// Idempotent.
  void stop();
  /// One full pass at once, on the caller's thread. Blocks.
  void run_now();

 private:
  void make_passes();
  void keep_up();
  /// False at once when the collector stops.
  bool wait_for(std::chrono::milliseconds time);
  bool stopping() const;
  void pass();

  /// Something that was due in this pass could not be done.
  void report(std::string_view what, const Error& error);
  void collect_due();
  void collect_one_by_one(const std::vector<DueKey>& entries);
  std::uint64_t size_of(const storage::Place& place) const;
  void reap_files();
  void resolve_orphans();
  void examine_suspects();
  Result<std::string> examine(const storage::Place& place, const oci::Digest& digest) const;
  void expire_uploads();
  void fold_pulls();
  void trim_change_log();
  void persist_uptime(bool at_stop);

  Core& core_;
  mutable std::mutex mutex_;  ///< guards stopping_
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread passes_;
  std::thread upkeep_;

  std::mutex pass_mutex_;  ///< one pass at a time; guards what follows
  Uptime persisted_;
  std::optional<SteadyTime> trimmed_at_;
  bool failed_ = false;  ///< something of this pass
  std::set<DueKey> stuck_;  ///< entries whose work fails: skipped, so that the others do not wait for them
};

}  // namespace berth::registry
