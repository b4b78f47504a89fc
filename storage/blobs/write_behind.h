// The end of a growing file on its way to the disk, past the page cache.
//
// Why: a large blob is written once, and a copy of it in the page cache costs more than everything else about a push:
// fresh pages to find, to fill and to write back. Direct writes (O_DIRECT) from memory that is used again and again
// leave only the disk's own time, which passes while the next bytes arrive and are hashed.
//
// How it works: bytes gather in an aligned chunk. A full chunk is written by a thread of DirectWriters while the next
// one fills. Two chunks a stream, so a client is read no faster than the disk takes its bytes.
//
// A disk that is slow at this is left alone: writing back later is as good then, and leaves the bytes in the page cache
// for the pull that follows a push.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/task.h"
#include "storage/blobs/blob_store.h"
#include "storage/file_system.h"

namespace berth::storage {

/// What the direct writers of a store share: threads, memory, and the knowledge of whether it is worth it. Thread-safe.
class DirectWriters {
 public:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  using Chunk = std::unique_ptr<std::byte[], Free>;

  explicit DirectWriters(const DirectWritesOptions& options) : options_(options) {}
  DirectWriters(const DirectWriters&) = delete;

  const DirectWritesOptions& options() const { return options_; }
  /// Is it worth it now?
  bool wanted() const;
  /// The file system does not take direct writes: never again.
  void give_up();

  /// A place among the streams; false when there is none, or it is not wanted.
  bool enter();
  void leave();
  Chunk take_chunk();
  void give_back(Chunk chunk);

  /// Runs `job` on a thread of its own kind.
  template <class Job>
  void post(Job job) {
    threads().post(std::move(job));
  }
  // Around each direct write: how fast they all are together.
  void begin_write();
  void end_write(std::size_t bytes);

 private:
  using Time = std::chrono::steady_clock::time_point;
  Pool& threads();

  const DirectWritesOptions options_;
  mutable std::mutex mutex_;  ///< guards the rest
  bool given_up_ = false;
  Time slow_until_{};
  std::size_t streams_ = 0;
  std::vector<Chunk> free_;
  std::size_t writing_ = 0;
  Time busy_since_{};
  std::chrono::steady_clock::duration busy_{};
  std::uint64_t written_ = 0;
  std::unique_ptr<Pool> threads_;  ///< made for the first stream; last: its jobs use all of the above
};

/// One stream, from an aligned place in a file to its end. One call at a time; every call may block. Destruction waits
/// for the disk.
class WriteBehind {
 public:
  /// Null when this is not the time for it. Errors of opening `path` are no reason to fail: null as well. `usual` is the
  /// same file, open for writing through the page cache, for what cannot be aligned.
  static std::unique_ptr<WriteBehind> start(FileSystem& files, DirectWriters& writers, const std::string& path,
                                            int usual, std::uint64_t begin);
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;

  /// Errors: those of an earlier chunk as well. On storage_full what was appended before stays here and is tried again
  /// by the next call; cut() takes off what this call took.
  Result<void> append(Bytes bytes);
  /// Puts everything into the file; nothing more may be appended then.
  Result<void> finish();
  /// Drops what lies behind `size`, which is not before in_file().
  void cut(std::uint64_t size);
  /// Waits for the disk. What lies before the answer is in the file.
  std::uint64_t in_file();

 private:
  /// A chunk that belongs to a thread. Shared with its job.
  struct Flight {
    std::mutex mutex;
    std::condition_variable ended;
    bool under_way = false;
    Result<void> outcome;
  };

  WriteBehind(FileSystem& files, DirectWriters& writers, Fd direct, int usual, std::uint64_t begin);
  Result<void> write(Bytes bytes, std::uint64_t offset);
  Result<void> land();
  void send();
  void wait();

  FileSystem& files_;
  DirectWriters& writers_;
  const Fd direct_;
  const int usual_;
  const std::size_t chunk_bytes_;
  DirectWriters::Chunk filling_;
  DirectWriters::Chunk flying_;
  std::uint64_t begin_;         ///< where filling_ starts in the file
  std::size_t filled_ = 0;      ///< bytes in it
  std::uint64_t flying_begin_ = 0;
  bool in_flight_ = false;      ///< flying_ is not known to be in the file
  Flight flight_;
};

}  // namespace berth::storage
