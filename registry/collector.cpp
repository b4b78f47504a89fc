#include "registry/collector.h"

#include <pthread.h>

#include <algorithm>

#include "base/log.h"
#include "registry/commands/collect_due.h"
#include "registry/commands/persist_uptime.h"
#include "registry/commands/quarantine.h"
#include "registry/commands/reap_done.h"
#include "registry/commands/trim_change_log.h"
#include "registry/counts.h"
#include "registry/queries.h"

namespace berth::registry {

namespace {

using namespace std::chrono_literals;

constexpr auto kFoldInterval = 5s;         ///< longest wait between two folds of pulls
constexpr auto kDiskInterval = 1s;         ///< how often the disk is looked at: any write may have found it full
constexpr auto kUptimeInterval = 60s;      ///< between two writes of the clock while something waits for it
constexpr auto kUptimeIdleInterval = 10min;  ///< and while nothing does
constexpr auto kTrimInterval = 10min;
constexpr std::chrono::milliseconds kEmptyUploadIdle = 1min;  ///< for a session without bytes, while places are scarce
constexpr std::chrono::milliseconds kScarceUploadIdle = 1h;   ///< for any other, while they are scarcer still
constexpr std::size_t kStepsMax = 4096;    ///< commands of one kind in one pass; the next pass goes on
constexpr std::size_t kReapMax = 256;      ///< files a step
constexpr std::size_t kStuckMax = 1024;

void count(const CollectDue::Outcome& outcome) {
  counts::collected(counts::Collected::blob, outcome.blobs);
  counts::collected(counts::Collected::manifest, outcome.manifests);
  counts::collected(counts::Collected::repository, outcome.repositories);
  counts::freed(outcome.bytes);
}

/// Something that was due could not be done.
void log_failure(std::string_view what, const Error& error) {
  // At a stop the committer may go first; what was not done is done after the next start.
  const auto level = error.code == ErrorCode::unavailable ? log::Level::debug : log::Level::error;
  log::event(level, what,
             {{"error", to_string(error.code)}, {"problem", error.message}, {"detail", error.log_detail}});
}

}  // namespace

void Collector::report(std::string_view what, const Error& error) {
  failed_ = true;
  log_failure(what, error);
}

Collector::Collector(Core& core, Uptime uptime_persisted) : core_(core), persisted_(uptime_persisted) {}

Collector::~Collector() { stop(); }

void Collector::start() {
  passes_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "collector");
    make_passes();
  });
  upkeep_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "upkeep");
    keep_up();
  });
}

bool Collector::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Collector::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  wake_.notify_all();
  if (passes_.joinable()) passes_.join();
  if (upkeep_.joinable()) upkeep_.join();
  const std::lock_guard lock(pass_mutex_);
  fold_pulls();
  persist_uptime(true);
}

void Collector::run_now() {
  const std::lock_guard lock(pass_mutex_);
  core_.parts.ballast.check();
  fold_pulls();
  expire_uploads();
  pass();
}

bool Collector::wait_for(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, time, [this] { return stopping_; });
}

void Collector::make_passes() {
  while (wait_for(core_.options.collector_interval)) {
    const std::lock_guard lock(pass_mutex_);
    pass();
  }
}

/// Without the lock of a pass: nothing here may wait for one.
void Collector::keep_up() {
  using std::chrono::steady_clock;
  const auto interval = core_.options.collector_interval;
  auto next_fold = steady_clock::now() + kFoldInterval;
  auto next_expiry = steady_clock::now() + interval;
  while (wait_for(std::min<std::chrono::milliseconds>(interval, kDiskInterval))) {
    core_.parts.ballast.check();
    if (steady_clock::now() >= next_fold) {
      fold_pulls();
      next_fold = steady_clock::now() + kFoldInterval;
    }
    if (steady_clock::now() >= next_expiry) {
      expire_uploads();
      next_expiry = steady_clock::now() + interval;
    }
  }
}

void Collector::pass() {
  if (core_.paused()) return kv::ViewSource::release_thread_cache();
  const auto begin = std::chrono::steady_clock::now();
  failed_ = false;
  collect_due();
  reap_files();
  resolve_orphans();
  examine_suspects();
  trim_change_log();
  persist_uptime(false);
  kv::ViewSource::release_thread_cache();  // an idle thread must not pin an old state
  if (stopping()) return;
  const auto lasted = std::chrono::steady_clock::now() - begin;
  counts::collection(!failed_ && stuck_.empty(), lasted, core_.parts.clock.wall());
}

void Collector::collect_due() {
  for (std::size_t step = 0; step < kStepsMax && !stopping(); ++step) {
    auto entries = due_entries(core_.view()->reader(kv::Tier::any), core_.uptime.now(),
                               CollectDue::kEntriesMax + stuck_.size());
    if (!entries) return report("what is due could not be read", entries.error());
    std::erase_if(*entries, [this](const DueKey& entry) { return stuck_.contains(entry); });
    if (entries->empty()) return;
    if (entries->size() > CollectDue::kEntriesMax) entries->resize(CollectDue::kEntriesMax);
    CollectDue command{.context = core_.system_context(), .entries = *entries, .periods = core_.periods()};
    const auto outcome = core_.parts.committer.run(std::move(command));
    if (outcome) {
      count(*outcome);
      continue;
    }
    if (outcome.failed_with(ErrorCode::unavailable)) return report("collection has to wait", outcome.error());
    collect_one_by_one(*entries);
  }
}

void Collector::collect_one_by_one(const std::vector<DueKey>& entries) {
  for (const DueKey& entry : entries) {
    CollectDue command{.context = core_.system_context(), .entries = {entry}, .periods = core_.periods()};
    const auto outcome = core_.parts.committer.run(std::move(command));
    if (outcome) {
      count(*outcome);
      continue;
    }
    if (outcome.failed_with(ErrorCode::unavailable)) return report("collection has to wait", outcome.error());
    report("an entry of the collection queue could not be worked off", outcome.error());
    if (stuck_.size() >= kStuckMax) stuck_.clear();  // tried again, and reported again
    stuck_.insert(entry);
  }
}

/// 0 for a file that is not there any more.
std::uint64_t Collector::size_of(const storage::Place& place) const {
  const auto opened = core_.parts.blobs.open(place);
  return opened ? opened->size : 0;
}

void Collector::reap_files() {
  for (std::size_t step = 0; step < kStepsMax && !stopping(); ++step) {
    const auto view = core_.view();
    const kv::Reader& reader = view->reader(kv::Tier::any);
    const auto entries = reap_entries(reader, core_.uptime.now(), kReapMax);
    if (!entries) return report("the files to remove could not be read", entries.error());
    if (entries->empty()) return;
    ReapDone done{.context = core_.system_context(), .entries = {}};
    std::vector<storage::Place> removed_places;
    for (const ReapKey& entry : *entries) {
      const storage::Place place{entry.file};
      const std::uint64_t bytes = size_of(place);
      const auto in_use = is_place_in_use(reader, place);
      if (!in_use) return report("a file to remove could not be looked up", in_use.error());
      if (*in_use) {
        log::error("a file in use stood in the queue of files to remove", {{"file", entry.file}});
      } else if (const auto removed = core_.parts.blobs.remove(place); !removed) {
        report("a file could not be removed", removed.error());
        continue;
      } else {
        counts::freed(bytes);
        removed_places.push_back(place);
      }
      done.bytes += bytes;
      done.entries.push_back(entry);
    }
    if (done.entries.empty()) return;
    // Once crossed off, a file that a power cut brought back would lie there for ever.
    if (const auto synced = core_.parts.blobs.sync_removals(removed_places); !synced) {
      return report("removed files have to be removed again", synced.error());
    }
    const bool all = done.entries.size() == entries->size();
    const auto outcome = core_.parts.committer.run(std::move(done));
    if (!outcome) return report("removed files could not be crossed off", outcome.error());
    if (!all) return;  // those that failed stand in front; the next pass tries again
  }
}

void Collector::resolve_orphans() {
  std::vector<storage::Place> orphans = core_.uploads.take_orphans();
  if (orphans.empty()) return;
  // A command that succeeds now proves that those before it were either written or never will be.
  const auto alive = core_.parts.committer.run(PersistUptime{.context = core_.system_context()});
  if (!alive) report("files of broken pushes have to wait", alive.error());
  const auto view = core_.view();
  for (storage::Place& place : orphans) {
    const auto in_use = is_place_in_use(view->reader(kv::Tier::any), place);
    bool settled = false;
    if (alive && in_use) settled = *in_use || core_.parts.blobs.remove(place).has_value();
    if (!settled) core_.uploads.add_orphan(std::move(place));
  }
}

void Collector::examine_suspects() {
  for (const auto& [file, digest] : core_.suspects.take()) {
    const auto problem = examine(storage::Place{file}, digest);
    if (!problem) {
      report("a file that failed a reader could not be looked at yet", problem.error());
      core_.suspects.add(file, digest);
      continue;
    }
    if (problem->empty()) continue;
    // Does nothing when a push has brought another copy meanwhile.
    Quarantine command{.context = core_.system_context(), .kind = ObjectKind::blob, .digest = digest, .file = file};
    const auto outcome = core_.parts.committer.run(std::move(command));
    if (!outcome) {
      report("a damaged file could not be quarantined", outcome.error());
      core_.suspects.add(file, digest);
    } else if (outcome->quarantined) {
      core_.note_quarantined(ObjectKind::blob, digest, file, *problem);
    }
  }
}

/// Reads the file from its begin to its end. What is wrong with it; empty when it holds what it should. Errors: it
/// could not be tried (unavailable).
Result<std::string> Collector::examine(const storage::Place& place, const oci::Digest& digest) const {
  const auto opened = core_.parts.blobs.open(place);
  if (opened.failed_with(ErrorCode::unavailable)) return opened.error();
  if (!opened) return "the file cannot be opened: " + opened.error().log_detail;
  oci::Hasher hasher(digest.algorithm());
  std::vector<std::byte> slice(1 << 20);
  for (std::uint64_t offset = 0; offset < opened->size;) {
    if (stopping()) return make_error(ErrorCode::unavailable, "the server stops");
    const auto read = storage::posix_file_system().read_at(opened->fd.get(), slice, offset);
    if (!read) return "the file cannot be read at byte " + std::to_string(offset) + ": " + read.error().log_detail;
    if (*read == 0) break;  // shorter than it was: the hash will tell
    hasher.update(Bytes(slice).first(*read));
    offset += *read;
  }
  return hasher.finish() == digest ? std::string() : "the bytes do not hash to the digest";
}

void Collector::expire_uploads() {
  if (core_.paused()) return;
  const SteadyTime now = core_.parts.clock.steady();
  UploadSession::IdleTimes times{core_.options.upload_ttl, core_.options.upload_ttl};
  // docker leaves an empty session behind for every mount that failed: those must not use up the places of others.
  const std::size_t open = core_.uploads.size(), open_max = core_.options.uploads_open_max;
  if (open > open_max / 2) times.empty = std::min(times.empty, kEmptyUploadIdle);
  if (open > open_max - open_max / 4) times.used = std::min(times.used, kScarceUploadIdle);
  std::uint64_t expired = 0;
  for (const auto& session : core_.uploads.all()) expired += session->expire(now, times) ? 1 : 0;
  counts::collected(counts::Collected::upload, expired);
  if (expired > 0) log::info("upload sessions that nobody used have expired", {{"sessions", expired}});
}

void Collector::fold_pulls() {
  if (core_.paused()) return;  // they stay counted until it ends, or the process does
  std::vector<FoldPulls::Entry> entries = core_.pulls.take();
  for (std::size_t begin = 0; begin < entries.size(); begin += FoldPulls::kEntriesMax) {
    const std::size_t end = std::min(entries.size(), begin + FoldPulls::kEntriesMax);
    FoldPulls command{.context = core_.system_context(), .entries = {}};
    std::move(entries.begin() + static_cast<std::ptrdiff_t>(begin), entries.begin() + static_cast<std::ptrdiff_t>(end),
              std::back_inserter(command.entries));
    const auto outcome = core_.parts.committer.run(std::move(command));
    if (!outcome) return log_failure("counted pulls were lost", outcome.error());
  }
}

void Collector::trim_change_log() {
  const SteadyTime now = core_.parts.clock.steady();
  if (trimmed_at_ && now - *trimmed_at_ < kTrimInterval) return;
  trimmed_at_ = now;
  for (std::size_t step = 0; step < kStepsMax && !stopping(); ++step) {
    TrimChangeLog command{.context = core_.system_context(), .keep_from = {}};
    command.keep_from = command.context.now - core_.options.change_log_keep;
    const auto outcome = core_.parts.committer.run(std::move(command));
    if (!outcome) return report("the change log could not be trimmed", outcome.error());
    if (!outcome->more) return;
  }
}

void Collector::persist_uptime(bool at_stop) {
  if (core_.paused()) return;  // what is due is due later
  const Uptime now = core_.uptime.now();
  const Uptime moved = now - persisted_;
  if (moved <= 0ms) return;
  if (!at_stop) {
    if (moved < kUptimeInterval) return;
    // A clock that nothing waits for need not be exact; an idle registry leaves its disk alone.
    const auto view = core_.view();
    const kv::Reader& reader = view->reader(kv::Tier::any);
    const auto due = any_with_prefix(reader, DueKey::kFamily, DueKey::prefix());
    const auto reap = any_with_prefix(reader, ReapKey::kFamily, ReapKey::prefix());
    const bool waiting = due.value_or(true) || reap.value_or(true);
    if (!waiting && moved < kUptimeIdleInterval) return;
  }
  CommandContext context = core_.system_context();
  context.uptime = now;
  const auto outcome = core_.parts.committer.run(PersistUptime{.context = std::move(context)});
  if (!outcome) return report("the up-time clock could not be written down", outcome.error());
  persisted_ = now;
}

}  // namespace berth::registry
