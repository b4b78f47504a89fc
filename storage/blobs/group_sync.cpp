#include "storage/blobs/group_sync.h"

namespace berth::storage {

Result<void> GroupSync::sync() {
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Round> mine = next_;
  while (!mine->done) {
    if (running_) {
      changed_.wait(lock);
      continue;
    }
    // Nobody syncs and my round has not begun: I am the one. Later callers gather in the next round.
    running_ = true;
    next_ = std::make_shared<Round>();
    lock.unlock();
    Result<void> outcome = files_.sync_directory(path_);
    lock.lock();
    running_ = false;
    mine->outcome = std::move(outcome);
    mine->done = true;
    changed_.notify_all();
  }
  return mine->outcome;
}

}  // namespace berth::storage
