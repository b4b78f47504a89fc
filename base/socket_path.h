// Paths of local (AF_UNIX) sockets. The kernel takes 107 bytes of one; where data lives may be deeper than that.
#pragma once

#include <string>

#include "base/result.h"

namespace berth {

/// A path that fits, for as long as this lives: the given one, or the same file by way of a descriptor of its folder.
class SocketPath {
 public:
  /// Errors: io_error, with a sentence (the folder is not there or not open to us).
  static Result<SocketPath> open(const std::string& path);
  SocketPath(SocketPath&& other) noexcept;
  SocketPath& operator=(SocketPath&& other) noexcept;
  ~SocketPath();

  const std::string& text() const { return text_; }

 private:
  SocketPath(std::string text, int folder) : text_(std::move(text)), folder_(folder) {}
  std::string text_;
  int folder_;  ///< -1: none is needed
};

}  // namespace berth
