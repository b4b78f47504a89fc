// How a wait works: it stands in a line of the budget and owns the coroutine's handler. Whoever gives memory back moves
// the budget to the first in line, takes it out, and posts its handler together with the share; a share that is dropped
// on its way (a cancelled frame, an io_context destroyed with work in it) gives itself back.
//
// Posting to an io_context that is being destroyed would be a race, so each context that ever waited has a service
// here: a context shuts its services down before it drains its own queue, and this one takes the context's waits out of
// the line under the lock under which others post.
#include "registry/buffer.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/intrusive/list.hpp>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

namespace berth::registry {

/// A place in the line, with who is called when it is served.
class Buffer::Wait : public boost::intrusive::list_base_hook<> {
 public:
  explicit Wait(std::size_t capacity, const asio::execution_context& context)
      : capacity_(capacity), context_(&context) {}
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;
  virtual ~Wait() = default;

  std::size_t capacity() const { return capacity_; }
  bool belongs_to(const asio::execution_context& context) const { return context_ == &context; }
  /// Posts the handler with its share of the budget, or with none when the wait was cancelled, and ends the wait's
  /// life. The caller holds the budget's mutex, so nothing here may drop a share: failing to post ends the process.
  virtual void complete(bool granted) noexcept = 0;

 private:
  const std::size_t capacity_;
  const asio::execution_context* const context_;
};

struct Buffer::Budget {
  using Line = boost::intrusive::list<Wait>;

  /// Enough to spare the system calls of a busy moment; 2 MiB and 256 KiB at the default sizes.
  static constexpr std::size_t kIdleLargeMax = 8;
  static constexpr std::size_t kIdleSmallMax = 16;

  /// Of the budget, for small buffers alone.
  static constexpr std::size_t kReservePart = 16;
  static constexpr std::size_t kReserveMax = 4 << 20;

  Budget(std::size_t budget, std::size_t large, std::size_t small)
      : budget_bytes(budget), large_bytes(large), small_bytes(small),
        reserve_bytes(std::min(budget / kReservePart, kReserveMax)) {
    // In a budget that small the last large buffer comes first.
    if (budget_bytes - reserve_bytes < large_bytes) reserve_bytes = 0;
  }

  bool is_small(std::size_t capacity) const { return capacity == small_bytes; }
  Line& line_of(std::size_t capacity) { return is_small(capacity) ? small_line : large_line; }

  /// A budget below one buffer still lets one out at a time. The mutex is held.
  bool has_room(std::size_t capacity) const {
    const std::size_t used = in_use.load(std::memory_order_relaxed);
    if (used == 0) return true;
    if (used + capacity > budget_bytes) return false;
    if (!is_small(capacity)) return used - small_in_use + capacity <= budget_bytes - reserve_bytes;
    // What is not reserved is for the large ones first, or small ones that keep coming would starve them.
    return large_line.empty() || small_in_use + capacity <= reserve_bytes;
  }

  /// The mutex is held.
  void take(std::size_t capacity) {
    in_use.fetch_add(capacity, std::memory_order_relaxed);
    if (is_small(capacity)) small_in_use += capacity;
  }

  /// Takes a share unless somebody is ahead or the budget is spent. The mutex is held.
  bool reserve(std::size_t capacity) {
    if (!line_of(capacity).empty() || !has_room(capacity)) return false;
    take(capacity);
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
    if (is_small(capacity)) small_in_use -= capacity;
    grant_waiting();
  }

  /// Serves the lines as far as the budget goes. The mutex is held.
  void grant_waiting() {
    for (Line* line : {&large_line, &small_line}) {
      while (!line->empty() && has_room(line->front().capacity())) {
        Wait& first = line->front();
        line->pop_front();
        take(first.capacity());
        first.complete(true);
      }
    }
  }

  /// Serves at once when nobody is ahead and the budget allows it; else the wait stands at the end of its line.
  void enter(std::unique_ptr<Wait> wait) {
    const std::lock_guard lock(mutex);
    if (reserve(wait->capacity())) {
      wait.release()->complete(true);
    } else {
      line_of(wait->capacity()).push_back(*wait);
      wait.release();
    }
  }

  /// On the wait's own executor, so it was not completed yet, but it may have been served.
  void cancel(Wait& wait) {
    const std::lock_guard lock(mutex);
    if (!wait.is_linked()) return;
    Line& line = line_of(wait.capacity());
    line.erase(line.iterator_to(wait));
    wait.complete(false);
    grant_waiting();  // this one may have been too large for what was left
  }

  /// The context ends: its waits leave the line, uncalled.
  void abandon(const asio::execution_context& context) {
    std::vector<std::unique_ptr<Wait>> abandoned;  // destroyed without the lock: handlers own whole coroutines
    const std::lock_guard lock(mutex);
    for (Line* line : {&large_line, &small_line}) {
      for (auto wait = line->begin(); wait != line->end();) {
        if (wait->belongs_to(context)) {
          abandoned.emplace_back(&*wait);
          wait = line->erase(wait);
        } else {
          ++wait;
        }
      }
    }
    grant_waiting();
  }

  const std::size_t budget_bytes;
  const std::size_t large_bytes;
  const std::size_t small_bytes;
  std::size_t reserve_bytes;           ///< constant
  std::atomic<std::size_t> in_use{0};  ///< changed under the mutex
  std::mutex mutex;
  std::size_t small_in_use = 0;
  Line large_line;
  Line small_line;
  std::vector<std::unique_ptr<std::byte[]>> idle_large;
  std::vector<std::unique_ptr<std::byte[]>> idle_small;
};

namespace {

/// Tells the budgets that this context's coroutines waited for when the context ends.
class WaitService final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;

  explicit WaitService(asio::execution_context& context)
      : asio::execution_context::service(context), context_(context) {}

  /// `budget` has abandon(); it is remembered once.
  template <class Budget>
  void remember(const std::shared_ptr<Budget>& budget) {
    const std::lock_guard lock(mutex_);
    const auto is_same = [&budget](const Entry& entry) { return entry.budget.lock() == budget; };
    if (std::any_of(entries_.begin(), entries_.end(), is_same)) return;
    std::erase_if(entries_, [](const Entry& entry) { return entry.budget.expired(); });
    auto abandon = [](void* pointer, const asio::execution_context& context) {
      static_cast<Budget*>(pointer)->abandon(context);
    };
    entries_.push_back({budget, abandon});
  }

 private:
  /// The type of a budget is private to Buffer.
  struct Entry {
    std::weak_ptr<void> budget;
    void (*abandon)(void* budget, const asio::execution_context& context);
  };

  void shutdown() override {
    std::vector<Entry> entries;
    {
      const std::lock_guard lock(mutex_);
      entries.swap(entries_);
    }
    for (const Entry& entry : entries) {
      // A budget with waits in its line lives: the waits own it.
      if (const auto budget = entry.budget.lock()) entry.abandon(budget.get(), context_);
    }
  }

  asio::execution_context& context_;
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

}  // namespace

/// Enters the line with the handler of a coroutine.
struct Buffer::StartWait {
  template <class Handler>
  void operator()(Handler handler, std::shared_ptr<Budget> budget, std::size_t capacity,
                  asio::cancellation_slot give_up) const {
    auto& context = asio::query(asio::get_associated_executor(handler), asio::execution::context);
    asio::use_service<WaitService>(context).remember(budget);
    auto wait = std::make_unique<WaitFor<Handler>>(std::move(handler), budget, capacity, context);
    wait->listen_for_cancel(give_up);
    budget->enter(std::move(wait));
  }
};

template <class Handler>
class Buffer::WaitFor final : public Wait {
 public:
  WaitFor(Handler handler, std::shared_ptr<Budget> budget, std::size_t capacity, const asio::execution_context& context)
      : Wait(capacity, context),
        budget_(std::move(budget)),
        handler_(std::move(handler)),
        // Outstanding work keeps the caller's io_context running.
        work_(asio::prefer(asio::get_associated_executor(handler_), asio::execution::outstanding_work.tracked)) {}
  ~WaitFor() override { stop_listening(); }

  void listen_for_cancel(asio::cancellation_slot give_up) {
    slot_ = give_up.is_connected() ? give_up : asio::get_associated_cancellation_slot(handler_);
    if (!slot_.is_connected()) return;
    slot_.assign([this](asio::cancellation_type) { budget_->cancel(*this); });
    listening_ = true;
  }

  void complete(bool granted) noexcept override {
    Buffer share;
    if (granted) {
      share.budget_ = budget_;
      share.capacity_ = capacity();
    }
    const auto executor = work_;
    auto call = [self = std::unique_ptr<WaitFor>(this), share = std::move(share)]() mutable {
      self->stop_listening();
      Handler handler = std::move(self->handler_);
      self.reset();
      handler(std::move(share));
    };
    asio::post(executor, std::move(call));
  }

 private:
  using Executor = asio::associated_executor_t<Handler>;
  using Work =
      std::decay_t<decltype(asio::prefer(std::declval<Executor>(), asio::execution::outstanding_work.tracked))>;

  void stop_listening() {
    if (!std::exchange(listening_, false)) return;
    slot_.clear();
  }

  std::shared_ptr<Budget> budget_;
  Handler handler_;
  Work work_;
  asio::cancellation_slot slot_;  ///< its signal lives as long as the coroutine
  bool listening_ = false;
};

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

Task<Buffer> BufferPool::acquire(std::size_t expected_bytes, asio::cancellation_slot give_up) {
  const std::size_t capacity = capacity_for(expected_bytes);
  if (budget_->try_reserve(capacity)) co_return Buffer::make(budget_, capacity);

  Buffer share = co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Buffer)>(
      Buffer::StartWait{}, asio::use_awaitable, budget_, capacity, give_up);
  if (!share) co_return make_error(ErrorCode::aborted, "the wait for memory was cancelled");
  share.memory_ = share.budget_->take_memory(capacity);
  co_return share;
}

Buffer BufferPool::acquire_now(std::size_t expected_bytes) {
  const std::size_t capacity = capacity_for(expected_bytes);
  {
    const std::lock_guard lock(budget_->mutex);
    budget_->take(capacity);
  }
  return Buffer::make(budget_, capacity);
}

std::size_t BufferPool::in_use_bytes() const { return budget_->in_use.load(std::memory_order_relaxed); }

std::size_t BufferPool::waiting() const {
  const std::lock_guard lock(budget_->mutex);
  return budget_->large_line.size() + budget_->small_line.size();
}

}  // namespace berth::registry
