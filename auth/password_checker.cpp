#include <atomic>
#include <memory>
#include <utility>

#include "auth/passwords.h"

namespace berth::auth {

/// Hands jobs to the pool and counts those that run or wait. They wait in the pool's own queue, where its metric sees
/// them.
class PasswordChecker::Queue : public std::enable_shared_from_this<Queue> {
 public:
  Queue(Pool& pool, const Options& options) : pool_(pool), busy_max_(options.workers + options.queue_max) {}

  struct Job {
    virtual ~Job() = default;
    virtual void run() = 0;
  };

  /// False when too many wait.
  bool reserve() {
    if (busy_.fetch_add(1, std::memory_order_relaxed) < busy_max_) return true;
    busy_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }

  /// A reserved place is used.
  void add(std::unique_ptr<Job> job) {
    pool_.post([self = shared_from_this(), job = std::move(job)]() mutable {
      job->run();
      job.reset();
      self->busy_.fetch_sub(1, std::memory_order_relaxed);
    });
  }

  std::size_t busy() const { return busy_.load(std::memory_order_relaxed); }

 private:
  Pool& pool_;
  const std::size_t busy_max_;
  std::atomic<std::size_t> busy_{0};  ///< running, waiting and reserved
};

namespace {

/// Queues a job and completes the handler on its own executor with what the job returned.
template <class Queue, class Value, class Work>
struct Enqueue {
  template <class Handler>
  void operator()(Handler handler, std::shared_ptr<Queue> queue, Work work) const {
    auto executor = asio::get_associated_executor(handler);
    // Outstanding work keeps the caller's io_context running while the job is elsewhere.
    auto back = asio::prefer(executor, asio::execution::outstanding_work.tracked);

    struct Bound final : Queue::Job {
      Bound(Handler handler_, decltype(back) back_, Work work_)
          : handler(std::move(handler_)), executor(std::move(back_)), work(std::move(work_)) {}
      void run() override {
        Result<Value> value = work();
        auto complete = [handler = std::move(handler), value = std::move(value)]() mutable { handler(std::move(value)); };
        asio::post(executor, std::move(complete));
      }
      Handler handler;
      decltype(back) executor;
      Work work;
    };
    queue->add(std::make_unique<Bound>(std::move(handler), std::move(back), std::move(work)));
  }
};

}  // namespace

PasswordChecker::PasswordChecker(Pool& pool, const Options& options)
    : cost_(options.cost), queue_(std::make_shared<Queue>(pool, options)) {}

template <class Value, class Job>
Task<Value> PasswordChecker::run(Job job) {
  if (!queue_->reserve()) {
    co_return make_error(ErrorCode::unavailable, "too many passwords are being checked; try again shortly");
  }
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result<Value>)>(
      Enqueue<Queue, Value, Job>{}, asio::use_awaitable, queue_, std::move(job));
}

Task<bool> PasswordChecker::check(std::string hash, std::string password) {
  auto job = [hash = std::move(hash), password = std::move(password)] { return verify_password(hash, password); };
  co_return co_await run<bool>(std::move(job));
}

Task<bool> PasswordChecker::check_unknown_user(std::string password, std::string decoy) {
  if (decoy.empty()) decoy = decoy_hash(cost_);
  auto job = [decoy = std::move(decoy), password = std::move(password)]() -> Result<bool> {
    BERTH_CHECK(verify_password(decoy, password));
    return false;  // whatever the decoy says
  };
  co_return co_await run<bool>(std::move(job));
}

Task<std::string> PasswordChecker::hash(std::string password, Entropy& entropy) {
  auto job = [password = std::move(password), &entropy, cost = cost_] { return hash_password(password, entropy, cost); };
  co_return co_await run<std::string>(std::move(job));
}

std::size_t PasswordChecker::busy() const { return queue_->busy(); }

}  // namespace berth::auth
