// Asks a file system whether it still lives. A sync alone does not tell: when ext4 or XFS goes down (its journal is
// aborted, or it is shut down) while a sync is under way, that sync may answer success, and the data are lost: ext4 when it
// waits for data to reach blocks that were set aside for it, XFS when going down drops the change that the sync would
// have waited for. Any later call fails. Tests/crash sees it in one power cut of five, and of some twenty.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "storage/file_system.h"

namespace berth::kv {

class DiskProbe {
 public:
  /// `file` is on that file system and not empty; nobody needs it afterwards. Errors: io_error.
  static Result<DiskProbe> open(const std::filesystem::path& file);

  /// After a sync that succeeded: was the file system alive until then? One byte is read that is in memory, so it costs
  /// one system call and no I/O. Errors: io_error.
  Result<void> check() const;

 private:
  explicit DiskProbe(storage::Fd file) : file_(std::move(file)) {}
  storage::Fd file_;
};

}  // namespace berth::kv
