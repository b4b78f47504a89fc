// Space held back so that a full disk stops pushes first and never the index: a file of reserved blocks beside it.
//
// Above `low_water` free bytes all is well. Below it pushes are refused (`writable()` is false) while deletes and the
// index still have what is free plus the ballast; when even the index' share runs short (half of low water) the ballast
// is given up, and made again when space has returned. Looked at before large writes and from a timer; a check is one
// statvfs.
//
// Size: `size_share_percent` of the file system, between `size_min` and `size_max`, but never more than a tenth of it:
// a disk of a few MiB is for images too. It follows from the disk's size alone, so that starting again on a nearly full
// disk cannot shrink it step by step. Low water is half of that, and at least 2 MiB or an eighth of the disk, because a
// few slices of bulk data are always on their way between the look and the write. "Free" is what unprivileged processes
// may use; ext4's reserved blocks are not counted on, as root they are one more cushion. A quota is invisible to statvfs:
// after a reported failure room is proved by allocating it before pushes are accepted again. Copy-on-write file systems
// reserve nothing for an allocated file; there low water alone does the work.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "storage/file_system.h"

namespace berth::storage {

struct BallastOptions {
  std::string directory;                 ///< on the disk that is guarded; must exist
  std::uint64_t size_min = 4 << 20;
  std::uint64_t size_max = 256 << 20;
  std::uint64_t size_share_percent = 1;  ///< of the file system
  std::uint64_t low_water_bytes = 0;     ///< refuse pushes below this many free bytes; 0 = by the rule above
};

/// Thread-safe.
class Ballast {
 public:
  Ballast(FileSystem& files, BallastOptions options);
  /// Takes over or makes the file as far as space allows; call it before the index is opened. Where an earlier run left
  /// less free than the ballast holds, the ballast is given up first, because recovering the index may need that much;
  /// the next check() makes it again. Errors: io_error.
  Result<void> open();
  /// Looks at the disk again, releases or restores the file. Blocks; from the disk pool or the collector's thread. When
  /// another thread is looking already, returns at once.
  void check();
  /// A write just failed with storage_full: refuse pushes from now until a check finds room. Gives the ballast up at
  /// once when nothing else is left for the index. Blocks.
  void report_full();
  /// May bulk data be written? One atomic load.
  bool writable() const { return writable_.load(std::memory_order_acquire); }
  std::uint64_t size_bytes() const { return size_; }
  std::uint64_t low_water_bytes() const { return low_water_; }

 private:
  enum class OnRoom : std::uint8_t { accept_pushes, wait };

  /// The one decision: release, restore, and may pushes go on? With the mutex held. Errors: those of making the file,
  /// but not storage_full.
  Result<void> look(OnRoom on_room);
  Result<void> make();
  /// The work of open(), with the mutex held.
  Result<void> take_over();
  /// Logs that pushes stopped or go on, once for each change. With the mutex held.
  void tell();
  void give_up();
  /// Could `bytes` be written now? Tries it. For when statvfs was proved wrong.
  bool can_allocate(std::uint64_t bytes);

  FileSystem& files_;
  BallastOptions options_;
  const std::string path_;
  const std::string probe_path_;
  std::uint64_t size_ = 0;       ///< set by open()
  std::uint64_t low_water_ = 0;  ///< set by open()
  std::mutex mutex_;
  bool held_ = false;
  bool doubtful_ = false;  ///< a write failed although statvfs had said there was room, or might have
  bool told_full_ = false;  ///< the log says that pushes are refused
  bool probe_left_ = false;  ///< removing the probe failed: it takes room until that is made good
  std::atomic<bool> writable_{true};
};

}  // namespace berth::storage
