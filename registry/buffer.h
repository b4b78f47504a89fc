// Pooled, budgeted memory for bodies on their way in.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/task.h"

namespace berth::registry {

class BufferPool;

/// A slice of the budget with `size` bytes filled in. Gives itself back on destruction.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&&) noexcept;
  Buffer& operator=(Buffer&&) noexcept;
  ~Buffer();
  std::span<std::byte> space();            ///< the whole capacity
  void set_size(std::size_t size) { size_ = size; }
  Bytes bytes() const;
  std::size_t size() const { return size_; }
  explicit operator bool() const { return pool_ != nullptr; }

 private:
  friend class BufferPool;
  BufferPool* pool_ = nullptr;
  std::unique_ptr<std::byte[]> memory_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

/// Buffers of one size within one budget for the whole process. When the budget is spent, acquire() waits in order of
/// arrival: the server stops reading from clients. A few idle buffers are kept, the rest go back to the system.
/// Thread-safe.
class BufferPool {
 public:
  /// `small_size` buffers serve bodies known to be short, so that ten thousand small pushes do not hold large ones.
  BufferPool(std::size_t budget_bytes, std::size_t buffer_bytes = 256 << 10, std::size_t small_bytes = 16 << 10);
  ~BufferPool();
  /// `expected_bytes` picks the size. Errors: none but cancellation.
  Task<Buffer> acquire(std::size_t expected_bytes);
  /// For tests and threads that may wait: never waits, may exceed the budget.
  Buffer acquire_now(std::size_t expected_bytes);
  std::size_t in_use_bytes() const { return in_use_.load(std::memory_order_relaxed); }

 private:
  friend class Buffer;
  struct State;
  void give_back(Buffer& buffer);
  std::unique_ptr<State> state_;
  std::atomic<std::size_t> in_use_{0};
};

}  // namespace berth::registry
