// One folder sync for all who wait: the first who comes syncs, and whoever comes meanwhile shares the next one.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "storage/file_system.h"

namespace berth::storage {

/// Syncs one folder. A caller of sync() whose change of the folder was complete before the call is covered by the sync
/// that answers it, because that sync begins after the call. Each sync answers exactly those it covered, so a failed one
/// fails them all and nobody else. There is no delay: a lone caller syncs at once. Thread-safe.
class GroupSync {
 public:
  GroupSync(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  GroupSync(const GroupSync&) = delete;
  GroupSync& operator=(const GroupSync&) = delete;

  /// Blocks until a sync that began after this call has ended. Errors: as FileSystem::sync_directory.
  Result<void> sync();

 private:
  struct Round {
    bool done = false;
    Result<void> outcome;
  };

  FileSystem& files_;
  const std::string path_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool running_ = false;
  std::shared_ptr<Round> next_ = std::make_shared<Round>();  ///< those who wait for a sync that has not begun
};

}  // namespace berth::storage
