// Pooled, budgeted memory for bodies on their way in.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/task.h"

namespace berth::registry {

/// A slice of the budget with `size` bytes filled in. Gives itself back on destruction.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();
  std::span<std::byte> space();  ///< the whole capacity
  void set_size(std::size_t size) { size_ = size; }
  Bytes bytes() const;
  std::size_t size() const { return size_; }
  explicit operator bool() const { return budget_ != nullptr; }

 private:
  friend class BufferPool;
  struct Budget;
  class Wait;
  template <class Handler>
  class WaitFor;
  struct StartWait;
  /// The share of the budget is already reserved.
  static Buffer make(const std::shared_ptr<Budget>& budget, std::size_t capacity);
  void give_back();
  std::shared_ptr<Budget> budget_;
  std::unique_ptr<std::byte[]> memory_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

/// Buffers of two sizes within one budget for the whole process. When the budget is spent, acquire() waits in order of
/// arrival: the server stops reading from clients. A few idle buffers are kept, the rest go back to the system.
///
/// Each size has a line of its own, and a share of the budget is for small buffers alone (a sixteenth, 4 MiB at most):
/// while large uploads have all the rest and wait for a slow disk, who logs in or pushes a manifest does not wait with
/// them. Small ones take what else is free only while no large one waits for it.
///
/// Thread-safe. Buffers and waiting coroutines may outlive the pool.
class BufferPool {
 public:
  /// `small_bytes` buffers serve bodies known to be short, so that ten thousand small pushes do not hold large ones.
  BufferPool(std::size_t budget_bytes, std::size_t buffer_bytes = 256 << 10, std::size_t small_bytes = 16 << 10);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  /// `expected_bytes` picks the size: the small one when that is enough, else the large one. Errors: aborted, when the
  /// wait is cancelled: by `give_up`, where it is connected, else with the coroutine. A coroutine that is destroyed while it waits leaves the line and keeps nothing.
  ///
  /// The caller's executor runs one thing at a time (an I/O thread's context, a strand). A caller that holds a buffer
  /// must not wait for another: enough of them would wait for each other.
  Task<Buffer> acquire(std::size_t expected_bytes, asio::cancellation_slot give_up = {});
  /// For tests and threads that may wait: never waits, may exceed the budget.
  Buffer acquire_now(std::size_t expected_bytes);
  std::size_t in_use_bytes() const;
  std::size_t waiting() const;  ///< coroutines in both lines

 private:
  std::size_t capacity_for(std::size_t expected_bytes) const;
  std::size_t buffer_bytes_;
  std::size_t small_bytes_;
  std::shared_ptr<Buffer::Budget> budget_;
};

}  // namespace berth::registry
