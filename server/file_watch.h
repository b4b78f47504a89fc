// Notices that files may have changed: written over, replaced, or swapped by a symlink somewhere in their folder, as
// Kubernetes does with `..data`. It watches the folders and says "look again"; whether a file is another one its reader
// finds out by its content.
#pragma once

#include <string>

#include "server/descriptor.h"

namespace berth::server {

/// One thread, but for add() before it.
class FileWatch {
 public:
  FileWatch();
  /// A folder that cannot be watched is passed over: who waits looks once in a while in any case.
  void add(const std::string& file);
  /// For poll(): readable when something changed. -1, which poll() passes over, when the kernel watches nothing for us.
  int descriptor() const { return changes_.get(); }
  /// Forgets what has happened so far.
  void drain() const;

 private:
  Descriptor changes_;  ///< inotify
};

}  // namespace berth::server
