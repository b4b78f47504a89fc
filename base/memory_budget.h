// Memory that many hold together, by agreement: whoever wants more than is left goes without.
#pragma once

#include <atomic>
#include <cstddef>

namespace berth {

/// Thread-safe. Counts bytes; allocates nothing.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// False, and nothing is taken, when that much is not left.
  bool take(std::size_t bytes) {
    std::size_t before = in_use_.load(std::memory_order_relaxed);
    do {
      if (bytes > bytes_max_ || before > bytes_max_ - bytes) return false;
    } while (!in_use_.compare_exchange_weak(before, before + bytes, std::memory_order_relaxed));
    return true;
  }
  void give_back(std::size_t bytes) { in_use_.fetch_sub(bytes, std::memory_order_relaxed); }
  std::size_t in_use_bytes() const { return in_use_.load(std::memory_order_relaxed); }

  /// What one holder took; given back at its end. One thread at a time; the budget outlives it.
  class Share {
   public:
    explicit Share(MemoryBudget& budget) : budget_(budget) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() { give_back(); }
    bool take(std::size_t bytes) {
      if (!budget_.take(bytes)) return false;
      bytes_ += bytes;
      return true;
    }
    void give_back() {
      if (bytes_ != 0) budget_.give_back(bytes_);
      bytes_ = 0;
    }

   private:
    MemoryBudget& budget_;
    std::size_t bytes_ = 0;
  };

 private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> in_use_{0};
};

}  // namespace berth
