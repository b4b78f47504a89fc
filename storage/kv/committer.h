// The one writer. Commands are applied in arrival order, many in one durable write; the new state is published; then
// those who wait are answered. There is no second way to change the index.
//
// How it works: a thread takes all that is queued (bounded), applies each command to one Overlay whose reads never wait
// for the disk. A command whose read would wait is rolled back, its reads are warmed on the disk pool, and it is queued
// again; the second time its reads may wait. A refusal leaves no trace and is answered with the batch. After the write
// `on_commit` runs (caches forget what was touched), the view is published, the waiters are completed, each on its own
// executor. A failed write publishes nothing and calls `on_fatal`, which ends the process: the outcome is unknown.
// There is no delay: a lone client never waits for company.
//
// Commands whose submitters do not wait for each other have no order among them: a cold one is overtaken.
//
// Order of ending: stop() (it answers everybody, each on its own executor) before the io_contexts that submitted and
// the disk pool are destroyed; then the store.
#pragma once

#include <atomic>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/task.h"
#include "storage/kv/kv.h"
#include "storage/kv/overlay.h"

namespace berth::kv {

/// Where readers get the newest published state. Thread-safe; a reader's fast path is one atomic load and a count that
/// no other thread touches.
class ViewSource {
 public:
  /// The newest view; null before the first publish(). Each thread keeps its own reference, to one source at a time,
  /// and renews it when the version moved.
  std::shared_ptr<const View> current() const;
  void publish(std::shared_ptr<const View> view);
  /// Drops this thread's reference, so that an idle thread does not pin an old state. Called from a timer and at the
  /// end of a thread that read.
  static void release_thread_cache();

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const View> view_;
  std::atomic<std::uint64_t> version_{0};
  std::uint64_t id_ = next_id();
  static std::uint64_t next_id();
};

/// A queued command, type-erased.
class PendingCommand {
 public:
  virtual ~PendingCommand() = default;
  /// Runs the command's reads and, if it is not refused, its writes. May be called again after a roll-back.
  virtual Result<void> apply(Transaction& transaction) = 0;
  /// Called once, from the committer's thread, after the batch is durable and published, or when it failed. `outcome`
  /// is the refusal when it was refused.
  virtual void complete(Result<void> outcome) = 0;
  int attempts = 0;
};

using Commands = std::vector<std::unique_ptr<PendingCommand>>;

/// What caches must forget, and the version of the view that shows it. Runs on the committer's thread before that view
/// is published; must not throw.
using OnCommit = std::function<void(std::span<const std::string> touched, std::uint64_t version)>;

/// Applies a batch: the committer's core without its thread, so that the simulation can step it. One thread.
class CommitterCore {
 public:
  static constexpr std::size_t kBatchBytesMax = 16 << 20;

  CommitterCore(Store& store, OnCommit on_commit, std::size_t batch_bytes_max = kBatchBytesMax);
  /// Reads the log numbers and publishes the first view. Once, before anything else. Errors: those of the store.
  Result<void> open();
  /// Applies all, in order, and makes it durable, as one write or, past `batch_bytes_max`, as several. Commands that
  /// must be warmed first (attempts was 0, is 1 now) are moved to `cold` and not answered; all others are completed. An
  /// error is fatal: the waiters were told `unavailable`, and nothing may be applied after it.
  Result<void> apply(Commands commands, Commands& cold);
  /// Runs a cold command's reads against the newest state and forgets the outcome, so that they are in the caches. Any
  /// thread, while the command is nowhere else.
  void warm(PendingCommand& command) const;
  ViewSource& views() { return views_; }
  const ViewSource& views() const { return views_; }

 private:
  enum class Applied : std::uint8_t { done, cold };
  static Applied apply_one(Overlay& overlay, PendingCommand& command, Result<void>& outcome);
  Result<void> commit(Overlay& overlay);

  Store& store_;
  OnCommit on_commit_;
  std::size_t batch_bytes_max_;
  std::vector<std::uint64_t> last_log_number_;
  ViewSource views_;
};

struct CommitterOptions {
  std::size_t batch_commands_max = 512;
  std::size_t batch_bytes_max = CommitterCore::kBatchBytesMax;  ///< a write ends with the command that passes this
  std::size_t queue_max = 16384;                                ///< beyond it submit answers `unavailable`
};

/// Thread-safe. `store` and `disk_pool` outlive it.
class Committer {
 public:
  /// `on_fatal` is called once at most, on the committer's thread, when the waiters of the failed write were told;
  /// every later change answers `unavailable`. It must not call stop().
  Committer(Store& store, Pool& disk_pool, CommitterOptions options, OnCommit on_commit,
            std::function<void(const Error&)> on_fatal);
  /// Stops.
  ~Committer();
  Committer(const Committer&) = delete;

  /// Reads the log numbers, publishes the first view and starts the thread. Once. Errors: those of the store.
  Result<void> start();
  /// Completes what is queued, then ends the thread. Later changes answer `unavailable`. Idempotent; one thread.
  void stop();

  /// A Command is a plain value with `using Outcome = …;` and `Result<Outcome> apply(kv::Transaction&) const` that
  /// reads, decides, then writes. Completes on the caller's executor when it is durable and visible to every new view.
  /// It may be applied more than once, on the committer's or a disk thread, one at a time: an apply() that is not const
  /// works on a copy of the command. Errors: the command's own refusals; `unavailable` (queue full, stopping, or the
  /// write failed: the outcome is then unknown); io_error and corrupt of its reads; internal when it threw.
  template <class Command>
  Task<typename Command::Outcome> submit(Command command);

  /// The same for a thread that may wait (collector, tests).
  template <class Command>
  Result<typename Command::Outcome> run(Command command);

  ViewSource& views() { return core_.views(); }
  std::shared_ptr<const View> view() const { return core_.views().current(); }

 private:
  /// Takes the command, or leaves it untouched and says why not: unavailable.
  Result<void> enqueue(std::unique_ptr<PendingCommand>& command);
  void loop();
  void warm_up(std::unique_ptr<PendingCommand> command);
  void requeue(std::unique_ptr<PendingCommand> command);

  template <class Command>
  struct Typed;

  CommitterCore core_;
  Pool& disk_pool_;
  CommitterOptions options_;
  std::function<void(const Error&)> on_fatal_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<PendingCommand>> queue_;
  std::size_t warming_ = 0;  ///< commands out on the disk pool; stop() waits for them
  bool started_ = false;
  bool stopping_ = false;
  bool failed_ = false;
  std::thread thread_;
};

/// ---- templates ----

namespace detail {
/// Runs what must not be skipped, since somebody waits for it for ever, and may only fail for want of memory: tries
/// again for a second, then lets the process end.
template <class Action>
void insist(Action action) {
  for (int tries_left = 100;; --tries_left) {
    try {
      return action();
    } catch (const std::bad_alloc&) {
      if (tries_left == 0) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}
}  // namespace detail

template <class Command>
struct Committer::Typed final : PendingCommand {
  using Outcome = typename Command::Outcome;
  Typed(Command c, std::function<void(Result<Outcome>)> d) : command(std::move(c)), done(std::move(d)) {}
  Result<void> apply(Transaction& transaction) override {
    if constexpr (requires(const Command& original) { original.apply(transaction); }) {
      result = std::as_const(command).apply(transaction);
    } else {
      Command attempt = command;  // it may be repeated after a roll-back, so the original stays as it came
      result = attempt.apply(transaction);
    }
    if (!result.has_value()) return result.error();
    return {};
  }
  void complete(Result<void> outcome) override {
    if (!outcome.has_value()) result = std::move(outcome).error();
    done(std::move(result));
  }
  Command command;
  Result<Outcome> result;
  std::function<void(Result<Outcome>)> done;
};

template <class Command>
Task<typename Command::Outcome> Committer::submit(Command command) {
  using Outcome = typename Command::Outcome;
  auto start = [this](auto handler, Command moved) {
    auto executor = asio::get_associated_executor(handler);
    auto work = asio::prefer(executor, asio::execution::outstanding_work.tracked);
    struct Waiting {
      decltype(handler) resume;
      Result<Outcome> result;
    };
    auto waiting = std::make_shared<Waiting>(Waiting{std::move(handler), {}});
    auto done = [waiting, work](Result<Outcome> result) {
      waiting->result = std::move(result);
      // Moved out first: what it holds belongs to its own thread, and this closure's last owner may be the committer.
      auto back = [waiting] {
        auto resume = std::move(waiting->resume);
        resume(std::move(waiting->result));
      };
      detail::insist([&] { asio::post(work, back); });
    };
    std::unique_ptr<PendingCommand> pending = std::make_unique<Typed<Command>>(std::move(moved), std::move(done));
    if (auto queued = enqueue(pending); !queued) pending->complete(std::move(queued));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Result<Outcome>)>(
      std::move(start), asio::use_awaitable, std::move(command));
}

template <class Command>
Result<typename Command::Outcome> Committer::run(Command command) {
  using Outcome = typename Command::Outcome;
  auto promise = std::make_shared<std::promise<Result<Outcome>>>();
  auto future = promise->get_future();
  std::unique_ptr<PendingCommand> pending = std::make_unique<Typed<Command>>(
      std::move(command), [promise](Result<Outcome> result) { promise->set_value(std::move(result)); });
  BERTH_CHECK(enqueue(pending));
  return future.get();
}

}  // namespace berth::kv
