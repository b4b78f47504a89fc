// Upload sessions: who holds one, and how bytes move into it.
//
// How it works. A session is an entry of a sharded table. A request that works on it holds a Claim; a newer claim
// interrupts the holder and waits until that has let go, and of several that wait only the newest stays. The holder
// feeds buffers into a pipe: one is being hashed and written by a job on the disk pool, one lies ready, a third waits.
// So the disk never idles between two slices and a session holds at most three buffers. The job owns the session and
// its buffer, so the coroutine may be destroyed while it runs; the session is handed on when the job has ended. What a
// job failed with is answered by the next call.
//
// Locks: a session's mutex guards everything but the content, which belongs to the running job, or else to the holder
// (who then works under the mutex, or where only the holder could start a job). A session's mutex is taken before a
// table's.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/env.h"
#include "base/task.h"
#include "oci/digest.h"
#include "oci/name.h"
#include "registry/actor.h"
#include "registry/background.h"
#include "registry/buffer.h"
#include "registry/counts.h"
#include "registry/event.h"
#include "registry/upload_content.h"
#include "storage/ballast.h"

namespace berth::registry {

class UploadTable;
class UploadSession;

/// What a session is besides its bytes: the content of the sidecar.
struct UploadFacts {
  std::string repository;
  ActorId actor = kAnonymousActor;
  oci::Algorithm algorithm = oci::Algorithm::sha256;
  WallTime started{};

  std::string encode() const;
  /// Errors: corrupt.
  static Result<UploadFacts> decode(std::string_view text);
};

/// One request's hold on a session, or its place in the line. The session's mutex guards the fields.
struct UploadClaim {
  enum class State : std::uint8_t { waiting, holding, lost, released };
  State state = State::waiting;
  Event changed;
  std::function<void()> interrupt;  ///< of a holder
  bool committing = false;          ///< no newer claim stops the holder any more
};

class UploadSession : public std::enable_shared_from_this<UploadSession> {
 public:
  struct Parts {
    UploadTable& table;
    Background& disk;
    Background& cpu;
    storage::Ballast& ballast;
    const Clock& clock;
    UploadContent::Parts content;
    std::uint64_t blob_bytes_max = 0;  ///< 0: no limit
  };
  /// Not resumable: the client never learns the id, so nothing outlives the request.
  UploadSession(const Parts& parts, std::string id, UploadFacts facts, bool resumable);
  /// One that outlived a restart.
  UploadSession(const Parts& parts, std::string id, UploadFacts facts, std::uint64_t size);

  const std::string& id() const { return id_; }
  const UploadFacts& facts() const { return facts_; }

  // ---- claims ----
  /// Stands in line, or holds at once. Errors: upload_unknown (it has ended).
  Result<std::shared_ptr<UploadClaim>> enter();
  /// Waits until the claim holds and the content can be worked on. Errors: aborted, upload_unknown, io_error.
  Task<void> hold(std::shared_ptr<UploadClaim> claim);
  /// Lets go, or leaves the line. Never blocks.
  void leave(const std::shared_ptr<UploadClaim>& claim);
  void on_superseded(const std::shared_ptr<UploadClaim>& claim, std::function<void()> interrupt);

  // ---- by the holder ----
  std::uint64_t offset() const;
  Task<void> append(std::shared_ptr<UploadClaim> claim, Buffer buffer);
  /// Waits until no job runs. Errors: what a job failed with, aborted, upload_unknown.
  Task<void> settle(std::shared_ptr<UploadClaim> claim);
  /// Runs a job that works on the content and waits for it. Any error of it but storage_full and unavailable
  /// ends the session.
  using ContentJob = std::function<Result<void>(UploadContent&)>;
  Task<void> run(std::shared_ptr<UploadClaim> claim, Background& pool, ContentJob job);
  /// Puts all bytes where a killed process does not lose them.
  Task<void> flush(std::shared_ptr<UploadClaim> claim);
  Task<void> truncate(std::shared_ptr<UploadClaim> claim, std::uint64_t offset);
  /// Makes digest(algorithm) known, then gives it.
  Task<oci::Digest> digest(std::shared_ptr<UploadClaim> claim, oci::Algorithm algorithm);
  /// After settle() and until the next call above.
  UploadContent& content() { return content_; }
  /// From here on a newer claim does not stop this one: it waits and then learns how the commit ended.
  void begin_commit(UploadClaim& claim);
  bool resumable() const { return resumable_; }
  /// The bytes have become this file, but no record names it yet: a later commit goes on from there. When the session
  /// ends first the file is an orphan.
  void set_published(std::optional<storage::Place> place);
  const std::optional<storage::Place>& published() const { return published_; }
  /// The session is no more, for everybody. Its bytes go in the background. Only the first end counts.
  void end(counts::UploadEnd how);

  // ---- by the sweeper ----
  /// How long a session may be idle: one that has bytes, and one that never got any.
  struct IdleTimes {
    std::chrono::milliseconds used{0};
    std::chrono::milliseconds empty{0};
  };
  /// Ends a session that nobody holds and that was idle for too long. One that stays keeps no descriptor.
  bool expire(SteadyTime now, const IdleTimes& times);

 private:
  using Lock = std::unique_lock<std::mutex>;

  // The mutex is held in all of these.
  Result<void> check(const UploadClaim& claim);  ///< what stops the holder, if anything does
  void start_job(Background& pool, std::function<void()> job);
  void start_writing();
  void end_job();
  void end_locked(counts::UploadEnd how);
  void release();
  void hand_over();

  void write_slices();              ///< the job of the pipe
  void fail(const Error& error);  ///< within a job, without the mutex

  Parts parts_;
  const std::string id_;
  const UploadFacts facts_;
  const bool resumable_;

  mutable std::mutex mutex_;
  std::shared_ptr<UploadClaim> holder_;
  std::shared_ptr<UploadClaim> waiter_;  ///< the newest of those in line: there is only one
  bool leaving_ = false;                 ///< the holder has let go; a job still runs
  bool gone_ = false;
  bool discarded_ = false;  ///< the bytes of a session that is gone are going, too
  bool save_tried_ = false;
  SteadyTime last_use_;

  bool job_running_ = false;
  Event progress_;  ///< for the holder: the slot is free, or the job has ended
  std::optional<Buffer> slot_;
  std::optional<Error> failure_;  ///< of a job, not answered yet
  std::uint64_t offset_ = 0;      ///< content and what is in the pipe

  UploadContent content_;
  std::optional<storage::Place> published_;  ///< with the mutex held, or by the holder
};

/// All open sessions. Thread-safe.
class UploadTable {
 public:
  /// Most sessions; see RegistryOptions.
  struct Limits {
    std::size_t all = 0;
    std::size_t of_one = 0;
    std::size_t of_nobody = 0;
  };
  explicit UploadTable(const Limits& limits)
      : open_max_(limits.all),
        open_max_of_one_(limits.of_one > 0 ? limits.of_one : std::max<std::size_t>(1, limits.all / 10)),
        open_max_of_nobody_(limits.of_nobody > 0 ? limits.of_nobody : limits.all) {}

  /// An account has a share of them, and so have all who have none: neither keeps the others from pushing. Errors:
  /// too_many_requests.
  Result<void> add(std::shared_ptr<UploadSession> session);
  /// Null when there is none.
  std::shared_ptr<UploadSession> find(const std::string& id) const;
  void remove(const std::string& id);
  std::size_t size() const { return count_.load(std::memory_order_relaxed); }
  std::vector<std::shared_ptr<UploadSession>> all() const;

  /// A file of a session that ended while it was not known whether a record names it.
  void add_orphan(storage::Place place);
  std::vector<storage::Place> take_orphans();

 private:
  static constexpr std::size_t kShards = 16;
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, std::shared_ptr<UploadSession>> sessions;
  };
  Shard& shard_of(const std::string& id) const { return shards_[std::hash<std::string>{}(id) % kShards]; }

  bool count_in(ActorId actor);
  void count_out(ActorId actor);

  const std::size_t open_max_;
  const std::size_t open_max_of_one_;
  const std::size_t open_max_of_nobody_;
  std::atomic<std::size_t> count_{0};
  std::mutex by_actor_mutex_;
  std::unordered_map<ActorId, std::size_t> by_actor_;
  mutable std::array<Shard, kShards> shards_;
  std::mutex orphans_mutex_;
  std::vector<storage::Place> orphans_;
};

}  // namespace berth::registry
