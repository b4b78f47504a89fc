// A clock that stands still until a test moves it.
#pragma once

#include <atomic>
#include <chrono>

#include "base/env.h"

namespace berth::test {

/// Starts at 2026-01-01T00:00:00Z, with one hour of steady time. Thread-safe.
class ManualClock final : public Clock {
 public:
  WallTime wall() const override { return WallTime(std::chrono::milliseconds(wall_ms_.load())); }
  SteadyTime steady() const override { return SteadyTime(std::chrono::milliseconds(steady_ms_.load())); }

  /// Both go on together.
  void advance(std::chrono::milliseconds by) {
    wall_ms_ += by.count();
    steady_ms_ += by.count();
  }
  /// The wall clock jumps (either way); steady time does not.
  void jump_wall(std::chrono::milliseconds by) { wall_ms_ += by.count(); }

 private:
  std::atomic<std::int64_t> wall_ms_{1'767'225'600'000};
  std::atomic<std::int64_t> steady_ms_{3'600'000};
};

}  // namespace berth::test
