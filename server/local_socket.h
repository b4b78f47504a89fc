// The way in for whoever owns the data: a socket in the data directory, for berth's own user and root alone.
//
// Two things keep others out: the file's mode, and the kernel's word on who connects. That the folder is locked to one
// process makes it safe to replace what a killed one left.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "server/descriptor.h"

namespace berth::server {

/// One thread.
class LocalSocket {
 public:
  /// Binds and listens, with mode 0600 from its first moment, in place of a socket that is there. Errors: io_error
  /// (something else has the name, or the file system has no sockets), with a sentence.
  static Result<LocalSocket> open(const std::string& path);
  LocalSocket(LocalSocket&& other) noexcept;
  LocalSocket& operator=(LocalSocket&&) = delete;
  /// Removes the file, unless another one took its place.
  ~LocalSocket();

  /// The listening descriptor, not blocking; once.
  Descriptor take() { return std::move(descriptor_); }

 private:
  LocalSocket(std::string path, Descriptor descriptor) : path_(std::move(path)), descriptor_(std::move(descriptor)) {}
  std::string path_;  ///< empty: moved from
  Descriptor descriptor_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// Who connected, when that is this process's own user or root. Empty: somebody who has no business here.
std::optional<uid_t> trusted_peer(int descriptor);

}  // namespace berth::server
