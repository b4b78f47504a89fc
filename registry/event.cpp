#include "registry/event.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/this_coro.hpp>

namespace berth::registry {

/// Lives in the frame of the coroutine that waits.
class Event::Waiter {
 public:
  Waiter(Event& event, const asio::any_io_executor& executor)
      : event_(event), timer_(std::make_shared<asio::steady_timer>(executor, asio::steady_timer::time_point::max())) {
    const std::lock_guard lock(event_.mutex_);
    ready_ = std::exchange(event_.set_, false);
    if (!ready_) event_.waiter_ = this;
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() {
    const std::lock_guard lock(event_.mutex_);
    if (event_.waiter_ == this) event_.waiter_ = nullptr;
  }

  bool ready() const { return ready_; }
  const std::shared_ptr<asio::steady_timer>& timer() const { return timer_; }

 private:
  Event& event_;
  std::shared_ptr<asio::steady_timer> timer_;
  bool ready_ = false;
};

void Event::set() {
  const std::lock_guard lock(mutex_);
  if (waiter_ == nullptr) {
    set_ = true;
    return;
  }
  // Under the lock, which the waiter's destructor needs too: its io_context is there as long as the waiter is.
  auto timer = std::exchange(waiter_, nullptr)->timer();
  auto executor = timer->get_executor();
  asio::post(executor, [timer = std::move(timer)] { timer->cancel(); });
}

asio::awaitable<void> Event::wait() {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const Waiter waiter(*this, executor);
  if (waiter.ready()) co_return;
  co_await waiter.timer()->async_wait(asio::as_tuple(asio::use_awaitable));
}

}  // namespace berth::registry
