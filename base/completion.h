// A coroutine that waits for an answer which some other thread will have: the one bridge from threads and callbacks of
// other libraries to Task.
#pragma once

#include <atomic>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <functional>
#include <memory>
#include <utility>

#include "base/task.h"

namespace berth {

/// One answer to one waiting coroutine. The first complete() counts, all later ones do nothing. Thread-safe.
template <class T>
class Completion {
 public:
  virtual ~Completion() = default;

  /// Resumes the coroutine on its own executor. Never blocks.
  void complete(Result<T> answer) {
    if (!done_.exchange(true)) return resume(std::move(answer));
    ignore(answer);
  }
  /// Answered or cancelled: whoever still works on it may stop.
  bool done() const { return done_.load(); }
  /// Called on the coroutine's thread after a cancellation has ended the wait. To be set before the wait begins.
  void on_cancel(std::function<void()> hook) { hook_ = std::move(hook); }

 protected:
  virtual void resume(Result<T> answer) = 0;
  void cancel() {
    complete(make_error(ErrorCode::aborted, "the request was given up"));
    if (hook_) hook_();
  }

 private:
  std::atomic<bool> done_{false};
  std::function<void()> hook_;
};

namespace detail {
template <class T, class Handler>
class HandlerCompletion final : public Completion<T>,
                                public std::enable_shared_from_this<HandlerCompletion<T, Handler>> {
 public:
  explicit HandlerCompletion(Handler handler)
      // Outstanding work keeps the waiting io_context running.
      : work_(asio::prefer(asio::get_associated_executor(handler), asio::execution::outstanding_work.tracked)),
        handler_(std::move(handler)) {}

  void watch_cancellation() {
    auto slot = asio::get_associated_cancellation_slot(*handler_);
    if (!slot.is_connected()) return;
    std::weak_ptr<HandlerCompletion> weak = this->weak_from_this();
    slot.assign([weak = std::move(weak)](asio::cancellation_type) {
      if (auto self = weak.lock()) self->cancel();
    });
  }

 private:
  using Work = std::decay_t<decltype(asio::prefer(std::declval<asio::associated_executor_t<Handler>>(),
                                                  asio::execution::outstanding_work.tracked))>;

  void resume(Result<T> answer) override {
    // The handler leaves before it runs: nothing of the coroutine stays behind in whoever keeps this object longer.
    auto work = *std::exchange(work_, std::nullopt);
    ignore(answer);  // a context that ends before it runs again drops the answer with the coroutine
    auto back = [handler = *std::exchange(handler_, std::nullopt), answer = std::move(answer)]() mutable {
      handler(std::move(answer));
    };
    asio::post(work, std::move(back));
  }

  std::optional<Work> work_;
  std::optional<Handler> handler_;
};

template <class T, class Start>
struct StartWait {
  template <class Handler>
  void operator()(Handler handler, Start start) const {
    auto waiting = std::make_shared<HandlerCompletion<T, Handler>>(std::move(handler));
    waiting->watch_cancellation();
    start(std::shared_ptr<Completion<T>>(std::move(waiting)));
  }
};
}  // namespace detail

/// Calls `start(std::shared_ptr<Completion<T>>)` on the caller's thread and waits until somebody completes it; `start`
/// may do so itself. A completion that is let go of without an answer leaves its coroutine waiting: owners answer each.
/// A cancelled wait ends with ErrorCode::aborted.
template <class T, class Start>
Task<T> completion_of(Start start) {
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Result<T>)>(detail::StartWait<T, Start>{},
                                                                              asio::use_awaitable, std::move(start));
}

}  // namespace berth
