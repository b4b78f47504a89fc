// Whether what a registry does by itself has to wait: collection, sweeping, expiry, and folding in what was counted.
#pragma once

#include <atomic>

namespace berth::registry {

/// Belongs to whoever keeps content as it is, and is shared with those who write by themselves: they look before each
/// step. Thread-safe.
class Pause {
 public:
  explicit Pause(bool on) : on_(on) {}
  void set(bool on) { on_.store(on, std::memory_order_relaxed); }
  bool on() const { return on_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> on_;
};

}  // namespace berth::registry
