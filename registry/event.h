// A thread tells a coroutine that something has changed.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <mutex>

#include "base/task.h"

namespace berth::registry {

/// At most one coroutine waits at a time. It may also wake for nothing, so it looks again at what it waits for. set()
/// before wait() is remembered once. The waiter sleeps on a timer of its own io_context, so a frame that is destroyed
/// while it waits just leaves; its executor runs one thing at a time. set() is thread-safe.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void set();
  asio::awaitable<void> wait();

 private:
  class Waiter;
  std::mutex mutex_;
  bool set_ = false;
  Waiter* waiter_ = nullptr;
};

}  // namespace berth::registry
