// Jobs on a pool that nobody's frame waits for, counted, so that what they use can be taken down safely.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>

#include "base/task.h"

namespace berth::registry {

/// Thread-safe. The pool outlives it.
class Background {
 public:
  explicit Background(Pool& pool) : pool_(pool) {}
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background() { wait(); }

  /// The job owns what it touches, or that outlives this object. It must not throw.
  template <class Job>
  void post(Job job) {
    {
      const std::lock_guard lock(mutex_);
      ++running_;
    }
    pool_.post([this, job = std::move(job)]() mutable {
      {
        Job mine = std::move(job);  // what it owns goes before it counts as done
        mine();
      }
      const std::lock_guard lock(mutex_);
      if (--running_ == 0) idle_.notify_all();
    });
  }

  /// Blocks until none is waiting or running.
  void wait() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  Pool& pool_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::size_t running_ = 0;
};

}  // namespace berth::registry
