#include <deque>
#include <mutex>
#include <utility>

#include "auth/passwords.h"

namespace berth::auth {

/// The jobs that wait and the count of those that run. Each job runs as its own job of the pool, so that others who
/// share the pool have their turn in between.
class PasswordChecker::Queue : public std::enable_shared_from_this<Queue> {
 public:
  Queue(Pool& pool, const Options& options) : pool_(pool), workers_(options.workers), queue_max_(options.queue_max) {}

  struct Job {
    virtual ~Job() = default;
    virtual void run() = 0;
  };

  /// False when too many wait.
  bool reserve() {
    const std::lock_guard lock(mutex_);
    if (busy_ >= workers_ + queue_max_) return false;
    ++busy_;
    return true;
  }

  /// A reserved place is used.
  void add(std::unique_ptr<Job> job) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(job));
      if (running_ == workers_) return;
      ++running_;
    }
    start_one();
  }

  std::size_t busy() const {
    const std::lock_guard lock(mutex_);
    return busy_;
  }

 private:
  void start_one() {
    auto self = shared_from_this();
    pool_.post([self = std::move(self)] { self->run_one(); });
  }

  void run_one() {
    std::unique_ptr<Job> job;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) {  // another worker was sooner
        --running_;
        return;
      }
      job = std::move(waiting_.front());
      waiting_.pop_front();
    }
    job->run();
    job.reset();
    {
      const std::lock_guard lock(mutex_);
      --busy_;
    }
    start_one();
  }

  Pool& pool_;
  const std::size_t workers_;
  const std::size_t queue_max_;
  mutable std::mutex mutex_;
  std::deque<std::unique_ptr<Job>> waiting_;
  std::size_t running_ = 0;  ///< at most workers_
  std::size_t busy_ = 0;     ///< running, waiting and reserved
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
