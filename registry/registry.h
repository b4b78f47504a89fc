// The front door: one function per use case. Knows the rules of a registry; has never heard of HTTP or of RocksDB.
//
// Reads run in place on the caller's I/O thread when memory can answer and on the disk pool otherwise. Changes are
// commands: when a Task here answers, the change is durable and visible to everybody. Every Task may also answer
// io_error, unavailable, storage_full. What is passed by reference is read until the Task has answered. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/env.h"
#include "base/task.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "oci/name.h"
#include "oci/range.h"
#include "registry/actor.h"
#include "registry/buffer.h"
#include "registry/pause.h"
#include "registry/values.h"
#include "storage/ballast.h"
#include "storage/blobs/blob_store.h"
#include "storage/kv/committer.h"

namespace berth::registry {

struct RegistryOptions {
  std::uint64_t inline_bytes_max = 128 << 10;    ///< blobs up to this size live in the index
  std::uint64_t manifest_bytes_max = 4 << 20;
  oci::ManifestLimits manifest;
  bool sparse_indexes = false;                    ///< index children may be missing
  bool anonymous_mount = true;                    ///< mount without `from`
  bool deletion = true;                           ///< off: every delete answers `denied`… as method_not_allowed
  std::uint64_t blob_bytes_max = 0;               ///< 0 = no limit
  std::size_t tags_per_push_max = 100;
  std::chrono::milliseconds collection_grace = std::chrono::hours(24);
  std::chrono::milliseconds undo_window = std::chrono::hours(24 * 14);
  std::chrono::milliseconds reap_delay = std::chrono::seconds(60);
  std::chrono::milliseconds upload_ttl = std::chrono::hours(24);
  std::chrono::milliseconds change_log_keep = std::chrono::hours(24 * 7);
  std::chrono::milliseconds collector_interval = std::chrono::seconds(10);
  std::size_t uploads_open_max = 10'000;
  std::size_t uploads_open_of_one_max = 0;        ///< of an account; 0: a tenth of all
  std::size_t uploads_open_of_nobody_max = 0;     ///< of all together who have no account; 0: all
  std::size_t answer_cache_bytes = 32 << 20;
  /// While it is on, nothing is written but what clients ask for. Null: never.
  std::shared_ptr<const Pause> pause = nullptr;
};

/// A blob as it goes out: in memory when it was small, else an open file.
struct BlobContent {
  oci::Digest digest;
  std::uint64_t size = 0;
  std::shared_ptr<const std::string> bytes;          ///< set for an inline blob
  std::shared_ptr<const storage::OpenBlob> file;     ///< set otherwise
  /// Set beside `file`: to be called when the file could not be read to its end. It is read again, whole, and kept from
  /// readers if it is damaged, until it is pushed again. Any thread, while the registry lives; never blocks.
  std::function<void()> report_unreadable = {};
};

struct PutManifestRequest {
  oci::RepositoryName repository;
  oci::Reference reference;
  std::string content_type;
  std::string body;
  std::vector<PushedTag> extra_tags;              ///< ?tag=… of a push by digest
  std::optional<oci::Digest> expected_digest;     ///< ?digest=… of a push by tag: verified, and its algorithm is used
  Precondition precondition;
  /// May the tag that `reference` names be moved, if it leads elsewhere? Pushing what it leads to already is no move.
  bool may_overwrite = false;
};
struct PutManifestDone {
  oci::Digest digest;
  std::optional<std::string> subject;
  bool created = false;                           ///< the manifest was not there before
};

class Registry;

/// An upload session while one request holds it. A newer claim of the same session makes every further call here answer
/// `aborted`; the newer claim waits until this one is gone. Moves bytes in order: hash and write run in one job on the
/// disk pool while the caller already receives the next buffer. One coroutine at a time; destroyed = released, with the
/// bytes that were written kept.
class Upload {
 public:
  virtual ~Upload() = default;
  virtual const std::string& id() const = 0;
  /// Bytes that the session holds: those written, and those given to append().
  virtual std::uint64_t offset() const = 0;
  /// Starts hashing and writing `buffer`; waits only while the buffer before it is still being written, and answers
  /// that one's failure. Errors: storage_full (the session stays), io_error, aborted, denied (blob_bytes_max).
  virtual Task<void> append(Buffer buffer) = 0;
  /// Waits until all that was appended is written (not synced): it survives kill -9 from here on.
  virtual Task<void> flush() = 0;
  /// Drops what was appended after `offset`.
  virtual Task<void> truncate(std::uint64_t offset) = 0;
  /// Verifies, syncs, publishes and links. On digest_mismatch the session is gone; on storage_full, unavailable or
  /// io_error of the index it stays. Afterwards the session is unknown.
  virtual Task<void> commit(const oci::Digest& digest) = 0;
  /// Ends the session and drops its bytes.
  virtual Task<void> cancel() = 0;
  /// Called by the server's session when a newer request wants this upload: closes the older one's socket so that it
  /// stops waiting for its client. At most one; called from any thread.
  virtual void on_superseded(std::function<void()> interrupt) = 0;
};

class Registry {
 public:
  virtual ~Registry() = default;

  // ---- pull ----
  /// Errors: blob_unknown (also for an unknown repository).
  virtual Task<BlobContent> open_blob(const Actor&, const oci::RepositoryName&, const oci::Digest&) = 0;
  /// As open_blob, without the content; extends a link that is about to be collected (so that a push which relied on
  /// this answer finds it there).
  virtual Task<std::uint64_t> blob_size(const Actor&, const oci::RepositoryName&, const oci::Digest&) = 0;
  /// Errors: manifest_unknown (also for an unknown repository). Counts a pull when `count_pull`.
  virtual Task<std::shared_ptr<const ManifestAnswer>> get_manifest(const Actor&, const oci::RepositoryName&,
                                                                   const oci::Reference&, bool count_pull) = 0;

  // ---- push ----
  /// Opens a session. `single_request`: the whole body follows at once, so small content may stay in memory.
  virtual Task<std::unique_ptr<Upload>> start_upload(const Actor&, const oci::RepositoryName&, oci::Algorithm,
                                                     bool single_request) = 0;
  /// Takes hold of a session. Errors: upload_unknown (also when it belongs to another repository or actor).
  virtual Task<std::unique_ptr<Upload>> claim_upload(const Actor&, const oci::RepositoryName&,
                                                     const std::string& upload_id) = 0;
  /// The offset of a session without taking hold of it. Errors: upload_unknown.
  virtual Task<std::uint64_t> upload_offset(const Actor&, const oci::RepositoryName&, const std::string& upload_id) = 0;
  /// Links a blob from `from`, or from any repository the caller may read. False: not possible, open a session instead.
  virtual Task<bool> mount_blob(const Actor&, const oci::RepositoryName& target, const oci::Digest&,
                                std::optional<oci::RepositoryName> from, const Visibility&) = 0;
  /// Errors: manifest_invalid, manifest_too_large, digest_mismatch, manifest_blob_unknown, precondition_failed,
  /// too_many_tags, denied (a tag would move that may not; then nothing is written).
  virtual Task<PutManifestDone> put_manifest(const Actor&, PutManifestRequest) = 0;

  // ---- delete ----
  /// All: method_not_allowed when deletion is off; denied when `may_delete` does not suffice. The TagSet says which tags
  /// the caller may delete. With less than all of them, a manifest goes only when all tags that point at it or at its
  /// subject are among them; a manifest or blob that another manifest needs stays; so does the repository as a whole.
  virtual Task<void> delete_tag(const Actor&, const oci::RepositoryName&, const oci::Tag&, Precondition,
                                TagSet may_delete) = 0;
  virtual Task<void> delete_manifest(const Actor&, const oci::RepositoryName&, const oci::Digest&, Precondition,
                                     TagSet may_delete) = 0;
  virtual Task<void> delete_blob(const Actor&, const oci::RepositoryName&, const oci::Digest&, TagSet may_delete) = 0;
  /// The name is free at once; the content goes in bounded steps after the undo window. Errors: repository_unknown.
  virtual Task<void> delete_repository(const Actor&, const oci::RepositoryName&, TagSet may_delete) = 0;

  // ---- lists: each costs its page ----
  /// Tags after `last` in byte order. Errors: repository_unknown.
  virtual Task<TagPage> list_tags(const Actor&, const oci::RepositoryName&, std::size_t n, std::string last) = 0;
  virtual Task<RepositoryPage> list_repositories(const Actor&, const Visibility&, std::size_t n,
                                                 std::string last) = 0;
  /// Never fails for an unknown repository or subject. `types` empty = no filter. A page ends at `n` entries or
  /// `bytes_max` bytes of descriptors, whichever comes first. Errors: page_invalid (a cursor that is none).
  virtual Task<ReferrerPage> list_referrers(const Actor&, const oci::RepositoryName&, std::string subject,
                                            std::vector<std::string> types, std::size_t n, std::size_t bytes_max,
                                            std::string cursor) = 0;

  // ---- life ----
  /// May bulk data be written now?
  virtual bool writable() const = 0;
  /// Stops the collector and the uploads' sweeper, folds in what is counted, persists the up-time clock. Blocks.
  virtual void stop() = 0;
};

/// What a registry stands on; all outlive it.
struct RegistryParts {
  kv::Store& store;
  kv::Committer& committer;
  storage::BlobStore& blobs;
  storage::Ballast& ballast;
  Pool& disk_pool;   ///< for what is read, and somebody waits for
  Pool& write_pool;  ///< for the bytes of uploads, which may wait long for a slow disk
  Pool& cpu_pool;
  BufferPool& buffers;
  const Clock& clock;
  Entropy& entropy;
};

/// The families the registry's records need; a store is opened with these.
kv::Schema schema();

class AnswerCache;
/// The cache of resolved manifests, made before the committer, which tells it what to forget.
std::shared_ptr<AnswerCache> make_answer_cache(std::size_t bytes_max);
void invalidate(AnswerCache& cache, std::span<const std::string> touched, std::uint64_t version);

/// Checks or writes the data format version, removes what a crash left, finds the sessions that survived, and starts the
/// collector. The committer runs already. Blocks. Errors: corrupt, unavailable (a newer format), io_error.
Result<std::unique_ptr<Registry>> open_registry(RegistryParts parts, std::shared_ptr<AnswerCache> cache,
                                                RegistryOptions options);

}  // namespace berth::registry
