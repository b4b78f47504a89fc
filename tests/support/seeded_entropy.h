// Randomness that a seed decides, so that a failing test can be run again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <random>
#include <span>

#include "base/env.h"

namespace berth::test {

/// Thread-safe (the order of callers still decides who gets which bytes).
class SeededEntropy final : public Entropy {
 public:
  explicit SeededEntropy(std::uint64_t seed = 1) : random_(seed) {}
  void fill(std::span<std::byte> out) override {
    const std::lock_guard lock(mutex_);
    for (std::byte& byte : out) byte = static_cast<std::byte>(random_());
  }

 private:
  std::mutex mutex_;
  std::mt19937_64 random_;
};

}  // namespace berth::test
