// The bytes of an upload session and their hash, without an idea of requests.
//
// How it works: what is still small stays in memory, so that a small push costs no file; save() puts it into a staging
// file as well when the request ends before the blob is complete. What outgrows the inline limit (or the process' share
// of memory for such bytes) is written to the staging file while it is hashed. After a restart the staging file is all
// there is: restore() takes small content back into memory, the hash of large content is rebuilt slice by slice.
//
// One thread at a time. keep() never blocks; everything that may touch the staging file does.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/memory_budget.h"
#include "oci/digest.h"
#include "storage/blobs/blob_store.h"

namespace berth::registry {

class UploadContent {
 public:
  struct Parts {
    storage::BlobStore& blobs;
    MemoryBudget& memory;
    std::uint64_t inline_bytes_max = 0;
  };

  UploadContent(Parts parts, std::string upload_id, std::string sidecar, oci::Algorithm algorithm);
  /// A session that outlived a restart, with `size` bytes in its staging file: call restore() before anything else.
  UploadContent(Parts parts, std::string upload_id, std::string sidecar, oci::Algorithm algorithm, std::uint64_t size);
  ~UploadContent();
  UploadContent(const UploadContent&) = delete;
  UploadContent& operator=(const UploadContent&) = delete;

  /// Bytes accepted. Never more than are in memory or written.
  std::uint64_t size() const { return size_; }
  bool in_memory() const { return state_ == State::memory; }
  bool needs_restore() const { return state_ == State::unread || (state_ == State::file && on_disk_ && !staging_); }
  /// Are there bytes that a killed process would lose?
  bool unsaved() const { return in_memory() ? saved_ < size_ : staging_ && staging_->unflushed(); }
  bool has_staging_file() const { return on_disk_; }

  /// Appends to memory. False: they do not fit there, call write().
  bool keep(Bytes bytes);
  /// Appends to the staging file. On storage_full the content is as it was before; after any other error it is lost.
  Result<void> write(Bytes bytes);
  /// Puts what is only in memory into the staging file. Errors: as write().
  Result<void> save();
  /// Drops what lies behind `size`.
  Result<void> truncate(std::uint64_t size);
  /// Opens the staging file of an earlier process, or one that was parked.
  Result<void> restore();
  /// Closes the staging file until restore(), and lets go of memory that only spares reading it: ten thousand idle sessions
  /// must not hold as many descriptors, nor keep the memory for small content from those at work.
  void park();
  /// Remembers the hash of what there is, so that truncating to this size again does not mean to hash it again.
  void mark();

  /// From here on the content is hashed with this algorithm.
  void hash_with(oci::Algorithm algorithm);
  /// Is the hash of all content known, or there in memory to be made?
  bool is_hashed() const { return in_memory() || digest_ || hashed_ == size_; }
  /// Hashes the next slice of the staging file that was not hashed yet.
  Result<void> hash_slice();
  /// Requires is_hashed(). Blocks as long as hashing what is in memory takes.
  oci::Digest digest();

  /// The content, when it is in memory; must not be appended to while somebody uses it.
  std::shared_ptr<const std::string> memory() const { return memory_; }
  /// Gives the staging file, holding exactly the content, to whoever publishes it.
  Result<std::unique_ptr<storage::Staging>> take_staging();
  /// The staging file has become a blob: only digest() is left of this content.
  void forget_staging() { on_disk_ = false; }
  /// After a publish that failed for want of space: takes the staging file up again if it is still sound.
  Result<void> resume_staging();
  /// Removes the staging file and forgets everything.
  Result<void> discard();

 private:
  enum class State : std::uint8_t {
    memory,  ///< all in memory_, the first saved_ bytes in the staging file as well
    file,    ///< all in the staging file
    unread,  ///< in the staging file: of an earlier process, or parked
  };

  Result<void> check_staging() const;
  Result<void> open_staging();
  Result<void> write_at_end(Bytes bytes, std::uint64_t offset);
  void drop_memory();

  static constexpr std::size_t kHashSliceBytes = 8 << 20;
  static constexpr std::size_t kReadBytes = 256 << 10;

  Parts parts_;
  const std::string upload_id_;
  const std::string sidecar_;
  oci::Algorithm algorithm_;
  State state_ = State::memory;
  std::uint64_t size_ = 0;

  std::shared_ptr<std::string> memory_;
  std::size_t budgeted_ = 0;  ///< bytes taken from the budget
  std::uint64_t saved_ = 0;

  std::unique_ptr<storage::Staging> staging_;
  bool on_disk_ = false;      ///< there may be a staging file, open or not
  bool tail_unsure_ = false;  ///< a failed write may have left bytes behind the content
  std::optional<oci::Hasher> hasher_;
  std::uint64_t hashed_ = 0;            ///< bytes fed to hasher_
  std::optional<oci::Hasher> marked_;   ///< as hasher_ was when it had been fed marked_size_ bytes
  std::uint64_t marked_size_ = 0;
  std::optional<oci::Digest> digest_;   ///< of all content, once it was asked for
};

}  // namespace berth::registry
