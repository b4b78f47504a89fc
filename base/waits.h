// What a request waited for within the registry, so that the log of a slow one can tell it apart.
#pragma once

#include <chrono>

namespace berth {

/// Written by the request's own coroutine, on its I/O thread.
struct Waits {
  using Duration = std::chrono::steady_clock::duration;
  Duration queue{};   ///< for a thread that may wait for the disk
  Duration read{};    ///< for what was read of the index or opened on the disk, because memory did not have it
  Duration write{};   ///< for what came before to be hashed and written, so that there was room for more
  Duration hash{};    ///< for the digest of what was uploaded, beyond the time in which it came
  Duration file{};    ///< for its bytes to be on the disk
  Duration commit{};  ///< for the change of the index to be durable and seen by everybody
};

}  // namespace berth
