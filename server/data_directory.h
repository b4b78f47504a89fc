// The folder that holds everything, and the lock that keeps it to one process.
#pragma once

#include <string>

#include "base/result.h"
#include "storage/file_system.h"

namespace berth::server {

/// Held for the life of the process; the kernel gives the lock back however the process ends.
class DataDirectory {
 public:
  /// Makes the folder with mode 0700 when it is missing (one level: a parent that is missing is more likely a disk that
  /// is not mounted) and locks it. Errors: unavailable (another process has it), io_error; each with a sentence.
  static Result<DataDirectory> open(const std::string& path);

  const std::string& path() const { return path_; }

 private:
  DataDirectory(std::string path, storage::Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  storage::Fd lock_;
};

}  // namespace berth::server
