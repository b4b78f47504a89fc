// The one writer. Commands are applied in arrival order, many in one durable write; the new state is published; then
// those who wait are answered. There is no second way to change the index.
//
// How it works: a thread takes all that is queued (bounded), applies each command to one Overlay whose reads never wait
// for the disk. A command whose read would wait is rolled back, its reads are warmed on the disk pool, and it is queued
// again; the second time its reads may wait. A refusal leaves no trace and is answered with the batch. After the write
// `on_commit` runs (caches forget what was touched), the view is published, the waiters are completed, each on its own
// executor. A failed write publishes nothing and calls `on_fatal`, which ends the process: the outcome is unknown.
// There is no delay: a lone client never waits for company.
#pragma once

#include <atomic>
#include <boost/asio/append.hpp>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/task.h"
#include "storage/kv/kv.h"
#include "storage/kv/overlay.h"

namespace berth::kv {

/// Where readers get the newest published state. Thread-safe; a reader's fast path is one atomic load.
class ViewSource {
 public:
  /// The newest view. Each thread keeps its own reference and renews it when the version moved.
  std::shared_ptr<const View> current() const;
  void publish(std::shared_ptr<const View> view);
  /// Drops this thread's reference, so that an idle thread does not pin an old state. Called from a timer.
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
  /// Called once, from the committer's thread, after the batch is durable and published, or when it failed.
  virtual void complete(Result<void> outcome) = 0;
  int attempts = 0;
};

/// Applies a batch: the committer's core without its thread, so that the simulation can step it.
class CommitterCore {
 public:
  CommitterCore(Store& store, std::function<void(std::span<const std::string> touched, std::uint64_t version)> on_commit);
  /// Reads the log numbers and publishes the first view. Once, before anything else.
  Result<void> open();
  /// Applies all, in order, and makes it durable. Commands that must be warmed first are moved to `cold` and not
  /// answered; all others are completed. An error is fatal: the waiters were told `unavailable`.
  Result<void> apply(std::vector<std::unique_ptr<PendingCommand>> commands,
                     std::vector<std::unique_ptr<PendingCommand>>& cold);
  ViewSource& views() { return views_; }

 private:
  Store& store_;
  std::function<void(std::span<const std::string>, std::uint64_t)> on_commit_;
  std::vector<std::uint64_t> last_log_number_;
  ViewSource views_;
};

struct CommitterOptions {
  std::size_t batch_commands_max = 512;
  std::size_t batch_bytes_max = 16 << 20;  ///< applied command by command; the batch is cut when it grows past this
  std::size_t queue_max = 16384;           ///< beyond it submit answers `unavailable`
};

class Committer {
 public:
  Committer(Store& store, Pool& disk_pool, CommitterOptions options,
            std::function<void(std::span<const std::string> touched, std::uint64_t version)> on_commit,
            std::function<void(const Error&)> on_fatal);
  ~Committer();
  Committer(const Committer&) = delete;

  /// Reads the log numbers, publishes the first view and starts the thread.
  Result<void> start();
  /// Completes what is queued, then ends the thread. Idempotent.
  void stop();

  /// A Command is a plain value with `using Outcome = …;` and `Result<Outcome> apply(kv::Transaction&)` that reads,
  /// decides, then writes. Completes on the caller's executor when it is durable and visible to every new view.
  template <class Command>
  Task<typename Command::Outcome> submit(Command command);

  /// The same for a thread that may wait (collector, tests).
  template <class Command>
  Result<typename Command::Outcome> run(Command command);

  ViewSource& views() { return core_.views(); }
  std::shared_ptr<const View> view() const { return const_cast<Committer*>(this)->core_.views().current(); }

 private:
  /// False when the queue is full or stopping; the command is untouched then.
  bool enqueue(std::unique_ptr<PendingCommand>& command);
  void loop();

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
  bool stopping_ = false;
  std::thread thread_;
};

/// ---- templates ----

template <class Command>
struct Committer::Typed final : PendingCommand {
  using Outcome = typename Command::Outcome;
  Typed(Command c, std::function<void(Result<Outcome>)> d) : command(std::move(c)), done(std::move(d)) {}
  Result<void> apply(Transaction& transaction) override {
    Command attempt = command;  // apply may be repeated after a roll-back, so the original stays as it came
    result = attempt.apply(transaction);
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
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));  // std::function wants copyable
    auto done = [shared, work](Result<Outcome> result) mutable {
      auto back = [shared, result = std::move(result)]() mutable { (*shared)(std::move(result)); };
      asio::post(work, std::move(back));
    };
    std::unique_ptr<PendingCommand> pending = std::make_unique<Typed<Command>>(std::move(moved), std::move(done));
    if (!enqueue(pending)) pending->complete(make_error(ErrorCode::unavailable, "too many changes are waiting"));
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
  if (!enqueue(pending)) return make_error(ErrorCode::unavailable, "too many changes are waiting");
  return future.get();
}

}  // namespace berth::kv
