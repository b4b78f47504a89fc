// Which blobs' stored copies this process has seen to be sound.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <unordered_set>

#include "oci/digest.h"

namespace berth::registry {

/// A push of one of these needs no second copy; a push of any other replaces the copy that is there, so that pushing
/// again heals. Bounded: the oldest are forgotten first, which costs a push its short cut and nothing else.
/// Thread-safe.
class VerifiedBlobs {
 public:
  static constexpr std::size_t kMax = 16'384;

  bool contains(const oci::Digest& digest) const {
    const std::lock_guard lock(mutex_);
    return digests_.contains(digest);
  }
  void insert(const oci::Digest& digest) {
    const std::lock_guard lock(mutex_);
    if (!digests_.insert(digest).second) return;
    order_.push_back(digest);
    // Digests that were erased meanwhile are still in line; erasing them again does nothing.
    if (order_.size() > kMax) {
      digests_.erase(order_.front());
      order_.pop_front();
    }
  }
  void erase(const oci::Digest& digest) {
    const std::lock_guard lock(mutex_);
    digests_.erase(digest);
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_set<oci::Digest, oci::DigestHash> digests_;
  std::deque<oci::Digest> order_;
};

}  // namespace berth::registry
