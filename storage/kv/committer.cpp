#include "storage/kv/committer.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <utility>

#include "base/metrics.h"

namespace berth::kv {
namespace {

constexpr std::array kBatchBuckets = {1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0};
/// A write is mostly one sync.
constexpr std::array kCommitBuckets = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                       0.025,  0.05,    0.1,    0.25,  1.0,    5.0,   30.0};

metrics::Histogram& batch_commands =
    metrics::Family<metrics::Histogram>("committer_batch_commands", "Changes that shared one write of the index.",
                                        kBatchBuckets)
        .with();
metrics::Histogram& commit_seconds =
    metrics::Family<metrics::Histogram>("committer_commit_seconds",
                                        "How long writes of the index took, from applied to durable and published.",
                                        kCommitBuckets)
        .with();
metrics::Gauge& queue_length =
    metrics::Family<metrics::Gauge>("committer_queue_length", "Changes that wait to be applied.").with();
metrics::Counter& refused_commands =
    metrics::Family<metrics::Counter>("committer_refused_total", "Changes refused because too many waited.").with();
metrics::Counter& warmed_commands =
    metrics::Family<metrics::Counter>("committer_warmed_total",
                                      "Changes put back until what they read was in memory.")
        .with();

/// One base for an Overlay whose commands may differ in what their reads are allowed to wait for.
class SwitchedReader final : public Reader {
 public:
  explicit SwitchedReader(std::shared_ptr<const View> view) : view_(std::move(view)) {}
  void set_tier(Tier tier) { tier_ = tier; }

  Result<std::optional<std::string>> get(Family family, std::string_view key) const override {
    return view_->reader(tier_).get(family, key);
  }
  Result<std::vector<std::optional<std::string>>> multi_get(Family family,
                                                            std::span<const std::string> keys) const override {
    return view_->reader(tier_).multi_get(family, keys);
  }
  Result<std::unique_ptr<Cursor>> scan(Family family, KeyRange range, Direction direction) const override {
    return view_->reader(tier_).scan(family, std::move(range), direction);
  }

 private:
  std::shared_ptr<const View> view_;
  Tier tier_ = Tier::cache_only;
};

Error not_written_error() { return make_error(ErrorCode::unavailable, "the change could not be written"); }

struct CachedView {
  std::uint64_t source_id = 0;
  std::uint64_t version = 0;
  std::shared_ptr<const View> view;
};
thread_local CachedView t_cached_view;

}  // namespace

// ---- ViewSource ----

std::uint64_t ViewSource::next_id() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1) + 1;
}

std::shared_ptr<const View> ViewSource::current() const {
  CachedView& cached = t_cached_view;
  if (cached.source_id == id_ && cached.version == version_.load(std::memory_order_acquire)) return cached.view;

  std::shared_ptr<const View> newest;
  std::uint64_t version = 0;
  {
    const std::lock_guard lock(mutex_);
    newest = view_;
    version = version_.load(std::memory_order_relaxed);
  }
  if (!newest) return nullptr;
  // An owner of its own, so that threads do not fight over one reference count at every read.
  auto owner = std::make_shared<std::shared_ptr<const View>>(newest);
  cached = {id_, version, std::shared_ptr<const View>(std::move(owner), newest.get())};
  return cached.view;
}

void ViewSource::publish(std::shared_ptr<const View> view) {
  {
    const std::lock_guard lock(mutex_);
    view_.swap(view);
    version_.fetch_add(1, std::memory_order_release);
  }
  // The old view, when this was its last reference, goes outside of the lock.
}

void ViewSource::release_thread_cache() { t_cached_view = {}; }

// ---- CommitterCore ----

CommitterCore::CommitterCore(Store& store, OnCommit on_commit, std::size_t batch_bytes_max)
    : store_(store), on_commit_(std::move(on_commit)), batch_bytes_max_(batch_bytes_max) {}

Result<void> CommitterCore::open() {
  const Schema& schema = store_.schema();
  last_log_number_.assign(schema.size(), 0);
  for (std::size_t family = 0; family < schema.size(); ++family) {
    if (schema[family].access != Access::log) continue;
    BERTH_TRY(last_log_number_[family], store_.last_log_number(static_cast<Family>(family)));
  }
  BERTH_TRY(auto view, store_.view());
  views_.publish(std::move(view));
  return {};
}

CommitterCore::Applied CommitterCore::apply_one(Overlay& overlay, PendingCommand& command, Result<void>& outcome) {
  overlay.set_savepoint();
  try {
    outcome = command.apply(overlay);
    if (outcome.has_value()) return Applied::done;
    overlay.rollback();
  } catch (const std::exception& failure) {
    overlay.rollback();
    detail::insist([&] { outcome = make_error(ErrorCode::internal, "the change failed", failure.what()); });
  }
  if (outcome.failed_with(ErrorCode::would_block) && command.attempts == 0) {
    command.attempts = 1;
    return Applied::cold;
  }
  return Applied::done;
}

Result<void> CommitterCore::commit(Overlay& overlay) {
  if (overlay.empty()) return {};
  try {
    const auto begin = std::chrono::steady_clock::now();
    Overlay::Batch batch;
    detail::insist([&] { batch = overlay.take(last_log_number_); });
    BERTH_CHECK(store_.write(batch.writes));
    BERTH_TRY(auto view, store_.view());
    // Before the publish: a reader of the new view must not find an answer of the old one in a cache.
    if (on_commit_) on_commit_(batch.touched, view->version());
    views_.publish(std::move(view));
    commit_seconds.observe(std::chrono::steady_clock::now() - begin);
    return {};
  } catch (const std::exception& failure) {
    return make_error(ErrorCode::internal, "the change could not be written", failure.what());
  }
}

Result<void> CommitterCore::apply(Commands commands, Commands& cold) {
  std::vector<Result<void>> outcomes;
  detail::insist([&] {
    outcomes.resize(commands.size());
    cold.reserve(cold.size() + commands.size());
  });
  std::size_t next = 0;
  while (next < commands.size()) {
    std::optional<SwitchedReader> base;
    std::optional<Overlay> overlay;
    detail::insist([&] {
      base.emplace(views_.current());
      overlay.emplace(*base, last_log_number_.size());
    });
    const std::size_t first = next;
    for (; next < commands.size() && overlay->size_bytes() < batch_bytes_max_; ++next) {
      std::unique_ptr<PendingCommand>& command = commands[next];
      base->set_tier(command->attempts == 0 ? Tier::cache_only : Tier::any);
      if (apply_one(*overlay, *command, outcomes[next]) == Applied::cold) cold.push_back(std::move(command));
    }

    Result<void> written = commit(*overlay);
    if (!written.has_value()) {
      for (auto& command : cold) command->complete(not_written_error());
      cold.clear();
      for (auto& command : commands) {
        if (command) command->complete(not_written_error());
      }
      return written;
    }
    const auto answered = std::count_if(commands.begin() + static_cast<std::ptrdiff_t>(first),
                                        commands.begin() + static_cast<std::ptrdiff_t>(next),
                                        [](const auto& command) { return command != nullptr; });
    if (answered != 0) batch_commands.observe(static_cast<double>(answered));
    // Refusals waited for the write too: they may rest on what an earlier command of the batch wrote.
    for (std::size_t i = first; i < next; ++i) {
      if (commands[i]) commands[i]->complete(std::move(outcomes[i]));
      commands[i].reset();
    }
  }
  return {};
}

void CommitterCore::warm(PendingCommand& command) const {
  try {
    SwitchedReader base(views_.current());
    base.set_tier(Tier::any);
    Overlay scratch(base, last_log_number_.size());
    ignore(command.apply(scratch));  // only what it read matters; it is applied again, in its turn
  } catch (const std::exception&) {
    // Also then: if it throws again, its submitter is told.
  }
}

// ---- Committer ----

Committer::Committer(Store& store, Pool& disk_pool, CommitterOptions options, OnCommit on_commit,
                     std::function<void(const Error&)> on_fatal)
    : core_(store, std::move(on_commit), options.batch_bytes_max),
      disk_pool_(disk_pool),
      options_(options),
      on_fatal_(std::move(on_fatal)) {}

Committer::~Committer() { stop(); }

Result<void> Committer::start() {
  BERTH_CHECK(core_.open());
  {
    const std::lock_guard lock(mutex_);
    started_ = true;
  }
  thread_ = std::thread([this] { loop(); });
  return {};
}

void Committer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<void> Committer::enqueue(std::unique_ptr<PendingCommand>& command) {
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return not_written_error();
    if (stopping_ || !started_) return make_error(ErrorCode::unavailable, "the server is not taking changes");
    if (queue_.size() + warming_ >= options_.queue_max) {
      refused_commands.add();
      return make_error(ErrorCode::unavailable, "too many changes are waiting");
    }
    queue_.push_back(std::move(command));
    queue_length.set(static_cast<std::int64_t>(queue_.size()));
  }
  wake_.notify_one();
  return {};
}

void Committer::requeue(std::unique_ptr<PendingCommand> command) {
  const std::lock_guard lock(mutex_);
  // To the front: it has waited longest. Notified under the lock, since the committer may be destroyed right after.
  detail::insist([&] { queue_.push_front(std::move(command)); });
  --warming_;
  wake_.notify_one();
}

void Committer::warm_up(std::unique_ptr<PendingCommand> command) {
  warmed_commands.add();
  {
    const std::lock_guard lock(mutex_);
    ++warming_;
  }
  auto shared = std::make_shared<std::unique_ptr<PendingCommand>>(std::move(command));
  auto job = [this, shared] {
    core_.warm(**shared);
    ViewSource::release_thread_cache();  // a pool thread may be idle for long after this
    requeue(std::move(*shared));
  };
  try {
    disk_pool_.post(std::move(job));
  } catch (const std::exception&) {
    requeue(std::move(*shared));  // it will wait for its reads on the committer's thread instead
  }
}

void Committer::loop() {
  pthread_setname_np(pthread_self(), "berth-committer");
  for (;;) {
    Commands commands;
    bool refuse_all = false;
    {
      std::unique_lock lock(mutex_);
      // Commands on the disk pool come back to the queue, so the end has to wait for them.
      wake_.wait(lock, [this] { return !queue_.empty() || (stopping_ && warming_ == 0); });
      if (queue_.empty()) break;
      refuse_all = failed_;
      const std::size_t count = std::min(queue_.size(), options_.batch_commands_max);
      detail::insist([&] { commands.reserve(count); });
      for (std::size_t i = 0; i < count; ++i) {
        commands.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      queue_length.set(static_cast<std::int64_t>(queue_.size()));
    }
    if (refuse_all) {
      for (auto& command : commands) command->complete(not_written_error());
      continue;
    }
    Commands cold;
    const Result<void> applied = core_.apply(std::move(commands), cold);
    if (!applied.has_value()) {
      {
        const std::lock_guard lock(mutex_);
        failed_ = true;
      }
      if (on_fatal_) on_fatal_(applied.error());
    }
    for (auto& command : cold) warm_up(std::move(command));
  }
  ViewSource::release_thread_cache();
}

}  // namespace berth::kv
