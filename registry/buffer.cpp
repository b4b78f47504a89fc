// How a wait works: the coroutine sleeps on a timer that never expires, which belongs to its own io_context, and the
// line holds a pointer to a Wait in the coroutine's frame. Whoever gives memory back moves the budget to the first in
// line under the lock and posts a cancel of that timer. So a frame that dies (a cancelled operation, an io_context
// destroyed with waiters in it) takes its place out of the line, or gives back what it was granted, in the Wait's
// destructor, and nothing is ever posted to a context that is gone: the post happens under the lock that the destructor
// needs as well.
#include "registry/buffer.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/intrusive/list.hpp>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

namespace berth::registry {

/// A place in the line; lives in the frame of the coroutine that waits.
class Buffer::Wait : public boost::intrusive::list_base_hook<> {
 public:
  /// Grants at once when nobody is ahead and the budget allows it; else stands at the end of the line.
  Wait(std::shared_ptr<Budget> budget, asio::any_io_executor executor, std::size_t capacity);
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  ~Wait();

  bool granted() const;
  Buffer take();
  asio::steady_timer& timer() { return *timer_; }

 private:
  friend struct Budget;
  std::shared_ptr<Budget> budget_;
  asio::any_io_executor executor_;
  std::shared_ptr<asio::steady_timer> timer_;  ///< shared with the posted wake-up, which may outlive the frame
  std::size_t capacity_;
  bool granted_ = false;  ///< guarded by the budget's mutex: `capacity_` of it is this waiter's
};

struct Buffer::Budget {
  /// Enough to spare the system calls of a busy moment; 2 MiB and 256 KiB at the default sizes.
  static constexpr std::size_t kIdleLargeMax = 8;
  static constexpr std::size_t kIdleSmallMax = 16;

  Budget(std::size_t budget, std::size_t large, std::size_t small)
      : budget_bytes(budget), large_bytes(large), small_bytes(small) {}

  /// A budget below one buffer still lets one out at a time.
  bool has_room(std::size_t capacity) const {
    const std::size_t used = in_use.load(std::memory_order_relaxed);
    return used == 0 || (used <= budget_bytes && capacity <= budget_bytes - used);
  }

  /// Takes a share unless somebody is ahead or the budget is spent. The mutex is held.
  bool reserve(std::size_t capacity) {
    if (!line.empty() || !has_room(capacity)) return false;
    in_use.fetch_add(capacity, std::memory_order_relaxed);
    return true;
  }

  bool try_reserve(std::size_t capacity) {
    const std::lock_guard lock(mutex);
    return reserve(capacity);
  }

  std::unique_ptr<std::byte[]> take_memory(std::size_t capacity) {
    {
      const std::lock_guard lock(mutex);
      auto& idle = capacity == small_bytes ? idle_small : idle_large;
      if (!idle.empty()) {
        auto memory = std::move(idle.back());
        idle.pop_back();
        return memory;
      }
    }
    return std::make_unique_for_overwrite<std::byte[]>(capacity);
  }

  void release(std::unique_ptr<std::byte[]> memory, std::size_t capacity) {
    const std::lock_guard lock(mutex);
    auto& idle = capacity == small_bytes ? idle_small : idle_large;
    if (memory != nullptr && idle.size() < (capacity == small_bytes ? kIdleSmallMax : kIdleLargeMax)) {
      idle.push_back(std::move(memory));
    }
    in_use.fetch_sub(capacity, std::memory_order_relaxed);
    grant_waiting();
  }

  /// Serves the line as far as the budget goes. The mutex is held.
  void grant_waiting() {
    while (!line.empty() && has_room(line.front().capacity_)) {
      Wait& first = line.front();
      line.pop_front();
      in_use.fetch_add(first.capacity_, std::memory_order_relaxed);
      first.granted_ = true;
      asio::post(first.executor_, [timer = first.timer_] { timer->cancel(); });
    }
  }

  const std::size_t budget_bytes;
  const std::size_t large_bytes;
  const std::size_t small_bytes;
  std::atomic<std::size_t> in_use{0};  ///< changed under the mutex
  std::mutex mutex;
  boost::intrusive::list<Wait> line;
  std::vector<std::unique_ptr<std::byte[]>> idle_large;
  std::vector<std::unique_ptr<std::byte[]>> idle_small;
};

Buffer::Wait::Wait(std::shared_ptr<Budget> budget, asio::any_io_executor executor, std::size_t capacity)
    : budget_(std::move(budget)),
      executor_(std::move(executor)),
      timer_(std::make_shared<asio::steady_timer>(executor_, asio::steady_timer::time_point::max())),
      capacity_(capacity) {
  const std::lock_guard lock(budget_->mutex);
  granted_ = budget_->reserve(capacity_);
  if (!granted_) budget_->line.push_back(*this);
}

Buffer::Wait::~Wait() {
  const std::lock_guard lock(budget_->mutex);
  if (is_linked()) budget_->line.erase(budget_->line.iterator_to(*this));
  if (granted_) budget_->in_use.fetch_sub(capacity_, std::memory_order_relaxed);
  // Either way the one behind may be served now: this one may have been too large for what was left.
  budget_->grant_waiting();
}

bool Buffer::Wait::granted() const {
  const std::lock_guard lock(budget_->mutex);
  return granted_;
}

Buffer Buffer::Wait::take() {
  {
    const std::lock_guard lock(budget_->mutex);
    granted_ = false;  // the buffer gives it back from now on
  }
  return make(budget_, capacity_);
}

Buffer Buffer::make(const std::shared_ptr<Budget>& budget, std::size_t capacity) {
  Buffer buffer;
  buffer.budget_ = budget;  // first, so that a failed allocation gives the share back
  buffer.capacity_ = capacity;
  buffer.memory_ = budget->take_memory(capacity);
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept
    : budget_(std::move(other.budget_)),
      memory_(std::move(other.memory_)),
      capacity_(std::exchange(other.capacity_, 0)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  budget_ = std::move(other.budget_);
  memory_ = std::move(other.memory_);
  capacity_ = std::exchange(other.capacity_, 0);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

Buffer::~Buffer() { give_back(); }

void Buffer::give_back() {
  if (budget_ == nullptr) return;
  budget_->release(std::move(memory_), capacity_);
  budget_.reset();
  capacity_ = 0;
  size_ = 0;
}

std::span<std::byte> Buffer::space() { return {memory_.get(), capacity_}; }

Bytes Buffer::bytes() const {
  if (size_ > capacity_) std::abort();  // a reader claims more than it was given room for
  return {memory_.get(), size_};
}

BufferPool::BufferPool(std::size_t budget_bytes, std::size_t buffer_bytes, std::size_t small_bytes)
    : buffer_bytes_(buffer_bytes),
      small_bytes_(small_bytes),
      budget_(std::make_shared<Buffer::Budget>(budget_bytes, buffer_bytes, small_bytes)) {}

BufferPool::~BufferPool() = default;

std::size_t BufferPool::capacity_for(std::size_t expected_bytes) const {
  return expected_bytes <= small_bytes_ ? small_bytes_ : buffer_bytes_;
}

Task<Buffer> BufferPool::acquire(std::size_t expected_bytes) {
  const std::size_t capacity = capacity_for(expected_bytes);
  if (budget_->try_reserve(capacity)) co_return Buffer::make(budget_, capacity);

  const auto executor = co_await asio::this_coro::executor;
  Buffer::Wait wait(budget_, executor, capacity);
  if (!wait.granted()) {
    // Ends when the budget is granted, or when somebody cancels; what was granted says which.
    co_await wait.timer().async_wait(asio::as_tuple(asio::use_awaitable));
    if (!wait.granted()) co_return make_error(ErrorCode::aborted, "the wait for memory was cancelled");
  }
  co_return wait.take();
}

Buffer BufferPool::acquire_now(std::size_t expected_bytes) {
  const std::size_t capacity = capacity_for(expected_bytes);
  {
    const std::lock_guard lock(budget_->mutex);
    budget_->in_use.fetch_add(capacity, std::memory_order_relaxed);
  }
  return Buffer::make(budget_, capacity);
}

std::size_t BufferPool::in_use_bytes() const { return budget_->in_use.load(std::memory_order_relaxed); }

std::size_t BufferPool::waiting() const {
  const std::lock_guard lock(budget_->mutex);
  return budget_->line.size();
}

}  // namespace berth::registry
