// Space held back so that a full disk stops pushes first and never the index: a file of reserved blocks beside it.
//
// Above `low_water` free bytes all is well. Below it pushes are refused (`writable()` is false) while deletes and the
// index still have what is free plus the ballast; when even the index' share runs short the ballast is given up, and
// made again when space has returned. Looked at before large writes and from a timer; a check is one statvfs.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "storage/file_system.h"

namespace berth::storage {

struct BallastOptions {
  std::string directory;
  std::uint64_t size_min = 4 << 20;
  std::uint64_t size_max = 256 << 20;
  std::uint64_t size_share_percent = 1;  ///< of the file system
  std::uint64_t low_water_bytes = 0;     ///< refuse pushes below this many free bytes; 0 = half of the ballast's size
};

/// Thread-safe.
class Ballast {
 public:
  Ballast(FileSystem& files, BallastOptions options);
  /// Makes the file as far as space allows. Errors: io_error.
  Result<void> open();
  /// Looks at the disk again, releases or restores the file. Blocks; from the disk pool or the collector's thread.
  void check();
  /// A write just failed with storage_full: refuse pushes from now until a check finds room.
  void report_full();
  /// May bulk data be written? One atomic load.
  bool writable() const { return writable_.load(std::memory_order_acquire); }
  std::uint64_t size_bytes() const { return size_; }

 private:
  FileSystem& files_;
  BallastOptions options_;
  std::uint64_t size_ = 0;
  std::mutex mutex_;
  bool held_ = false;
  std::atomic<bool> writable_{true};
};

}  // namespace berth::storage
