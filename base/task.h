// Coroutines that answer with a Result, and the one way to leave an I/O thread.
//
// Rules (see docs/development.md): coroutines are named functions; what is spawned takes all by value; across a
// co_await carry values and owners only; name a lambda or an aggregate on the line above the co_await that uses it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <atomic>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

#include "base/result.h"

namespace berth {

namespace asio = boost::asio;

/// A coroutine that ends with a T or an Error.
template <class T>
using Task = asio::awaitable<Result<T>>;

/// Threads for what may wait: file I/O, RocksDB reads that miss the caches, long hashes. Thread-safe.
/// Back-pressure: a request has at most two jobs here, so the queue is bounded by the connections.
class Pool {
 public:
  Pool(std::string name, std::size_t threads) : name_(std::move(name)), count_(threads), threads_(threads) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  /// Runs what was posted to its end, then joins.
  ~Pool() { stop(); }

  /// Idempotent. After it, nothing may be posted.
  void stop() { threads_.join(); }

  template <class Job>
  void post(Job job) {
    waiting_.fetch_add(1, std::memory_order_relaxed);
    asio::post(threads_, [this, job = std::move(job)]() mutable {
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      const Busy busy(busy_);
      job();
    });
  }

  const std::string& name() const { return name_; }
  std::size_t threads() const { return count_; }
  /// Jobs that no thread has begun.
  std::size_t waiting() const { return waiting_.load(std::memory_order_relaxed); }
  /// Threads that have a job.
  std::size_t busy() const { return busy_.load(std::memory_order_relaxed); }

 private:
  /// Counts one thread for as long as its job runs, however that ends.
  class Busy {
   public:
    explicit Busy(std::atomic<std::size_t>& count) : count_(count) { count_.fetch_add(1, std::memory_order_relaxed); }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() { count_.fetch_sub(1, std::memory_order_relaxed); }

   private:
    std::atomic<std::size_t>& count_;
  };

  std::string name_;
  std::size_t count_;
  std::atomic<std::size_t> waiting_{0};
  std::atomic<std::size_t> busy_{0};
  asio::thread_pool threads_;
};

namespace detail {
/// Starts a job on a pool and completes the handler on its own executor, moved from the job's thread.
template <class Job, class Value>
struct StartJob {
  template <class Handler>
  void operator()(Handler handler, Pool* pool, Job job) const {
    auto executor = asio::get_associated_executor(handler);
    // Outstanding work keeps the caller's io_context running while the job is elsewhere.
    auto work = asio::prefer(executor, asio::execution::outstanding_work.tracked);
    pool->post([handler = std::move(handler), work = std::move(work), job = std::move(job)]() mutable {
      Value value = job();
      auto back = [handler = std::move(handler), value = std::move(value)]() mutable { handler(std::move(value)); };
      asio::post(work, std::move(back));
    });
  }
};
}  // namespace detail

/// Runs `job` on `pool` and comes back on the caller's thread with what it returned. The job owns what it touches: the
/// caller's frame may be gone when it runs. Never blocks. The job must not throw and must return a value.
template <class Job>
auto offload(Pool& pool, Job job) -> asio::awaitable<std::invoke_result_t<Job&>> {
  using Value = std::invoke_result_t<Job&>;
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Value)>(detail::StartJob<Job, Value>{},
                                                                         asio::use_awaitable, &pool, std::move(job));
}

}  // namespace berth
