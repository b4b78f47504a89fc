// Files that failed a reader while they were being sent.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "oci/digest.h"

namespace berth::registry {

/// The collector reads them again, whole, and decides. Bounded: what finds no room is reported again by the next reader
/// who meets it. Thread-safe.
class Suspects {
 public:
  static constexpr std::size_t kMax = 256;
  /// By the name of their place.
  using Files = std::map<std::string, oci::Digest>;

  void add(const std::string& file, const oci::Digest& digest) {
    const std::lock_guard lock(mutex_);
    if (files_.size() < kMax) files_.emplace(file, digest);
  }
  Files take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(files_, {});
  }

 private:
  std::mutex mutex_;
  Files files_;
};

}  // namespace berth::registry
