// Asks a file system whether it still lives. A sync alone does not tell: when ext4 goes down (its journal is aborted, or it
// is shut down) while a sync waits for data to reach blocks that were set aside for it, that sync answers success, and
// the data are lost. Any later call fails. Tests/crash sees it in one power cut of five.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "storage/file_system.h"

namespace berth::kv {

class DiskProbe {
 public:
  /// `file` is on that file system; it is neither changed nor needed afterwards. Errors: io_error.
  static Result<DiskProbe> open(const std::filesystem::path& file);

  /// After a sync that succeeded: was the file system alive until then? A write of nothing, so one system call and no
  /// I/O. Errors: io_error.
  Result<void> check() const;

 private:
  explicit DiskProbe(storage::Fd file) : file_(std::move(file)) {}
  storage::Fd file_;
};

}  // namespace berth::kv
