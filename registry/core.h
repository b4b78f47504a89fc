// What the use cases of the registry share. registry.h is the front door; this is the room behind it.
#pragma once

#include <chrono>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/span.h"
#include "base/task.h"
#include "base/waits.h"
#include "registry/answer_cache.h"
#include "registry/background.h"
#include "registry/index.h"
#include "registry/pull_counter.h"
#include "registry/registry.h"
#include "registry/suspects.h"
#include "registry/upload.h"
#include "registry/uptime_clock.h"
#include "registry/verified_blobs.h"

namespace berth::registry {

/// Thread-safe. Destroyed after every coroutine that uses it; waits for the jobs it started.
class Core {
 public:
  Core(const RegistryParts& parts_given, std::shared_ptr<AnswerCache> cache_given, const RegistryOptions& options_given,
       Uptime uptime_persisted);

  CommandContext context(const Actor& actor) const;
  CommandContext system_context() const { return context(Actor{kSystemActor, {}}); }
  Periods periods() const { return {options.collection_grace, options.undo_window, options.reap_delay}; }
  std::shared_ptr<const kv::View> view() const { return parts.committer.view(); }
  bool paused() const { return options.pause != nullptr && options.pause->on(); }

  /// Asks `query(reader)` in place where memory can answer; otherwise once more, whole, on the disk pool. The query owns
  /// what it needs.
  template <class Query>
  asio::awaitable<std::invoke_result_t<Query&, const kv::Reader&>> read(const Actor& actor,
                                                                        std::shared_ptr<const kv::View> view_read,
                                                                        Query query);
  /// Runs `job`, which may wait for the disk, where that holds nobody up; what it took is among the request's waits.
  template <class Job>
  asio::awaitable<std::invoke_result_t<Job&>> on_disk(const Actor& actor, Job job);
  /// Stored bytes failed a check: nobody is given them again until a push replaces them. `file` names the copy that was
  /// read, empty for an inline one. False: another copy took its place meanwhile.
  Task<bool> quarantine(ObjectKind kind, oci::Digest digest, std::string file, std::string what);
  /// After the command: tells the operator, and nobody relies on the copy any more.
  void note_quarantined(ObjectKind kind, const oci::Digest& digest, const std::string& file, const std::string& what);
  /// Do these bytes hash to the digest? Long ones are hashed on the CPU pool.
  asio::awaitable<bool> is_sound(const Actor& actor, oci::Digest digest, std::shared_ptr<const std::string> bytes);

  UploadSession::Parts session_parts();

  const RegistryParts parts;
  const RegistryOptions options;
  const std::shared_ptr<AnswerCache> cache;
  const UptimeClock uptime;
  PullCounter pulls;
  VerifiedBlobs verified;
  Suspects suspects;
  MemoryBudget upload_memory;  ///< what all sessions together keep in memory
  UploadTable uploads;
  // Last, so that they are waited for first.
  Background disk;
  Background cpu;
};

template <class Query>
asio::awaitable<std::invoke_result_t<Query&, const kv::Reader&>> Core::read(const Actor& actor,
                                                                            std::shared_ptr<const kv::View> view_read,
                                                                            Query query) {
  auto answer = query(view_read->reader(kv::Tier::cache_only));
  if (!answer.failed_with(ErrorCode::would_block)) co_return answer;
  auto job = [view_read = std::move(view_read), query = std::move(query)] {
    return query(view_read->reader(kv::Tier::any));
  };
  co_return co_await on_disk(actor, std::move(job));
}

template <class Job>
asio::awaitable<std::invoke_result_t<Job&>> Core::on_disk(const Actor& actor, Job job) {
  using Clock = std::chrono::steady_clock;
  const trace::Span span(actor.trace, "read");
  const auto asked = Clock::now();
  auto timed = [job = std::move(job)]() mutable {
    const auto begun = Clock::now();
    return std::pair(begun, job());
  };
  auto [begun, answer] = co_await offload(parts.disk_pool, std::move(timed));
  if (actor.waits != nullptr) {
    actor.waits->queue += begun - asked;
    actor.waits->read += Clock::now() - begun;
  }
  co_return std::move(answer);
}

inline Error storage_full_error() {
  return make_error(ErrorCode::storage_full, "there is no room for more content; try again later");
}

}  // namespace berth::registry
