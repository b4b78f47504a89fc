// Signals, taken by one thread that waits for them, so that nothing ever runs in the middle of anything else.
#pragma once

#include <functional>
#include <future>
#include <thread>

#include "storage/file_system.h"

namespace berth::server {

/// SIGTERM and SIGINT ask to stop; a second one insists: the process ends at once, which loses nothing that was
/// acknowledged. SIGHUP calls `on_reload` on the thread that waits.
class Signals {
 public:
  /// Blocks these signals for the calling thread and all it starts later: construct before any other thread.
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Starts to listen. Once.
  void start(std::function<void()> on_reload);
  /// Blocks until the first SIGTERM or SIGINT; answers its number.
  int wait_for_stop();

 private:
  void loop();

  storage::Fd signals_;  ///< signalfd
  storage::Fd end_;      ///< eventfd: the thread shall return
  std::function<void()> on_reload_;
  std::promise<int> stop_;
  std::thread thread_;
};

/// Sockets and files are many: as many as the hard limit allows. Answers the limit in force.
std::size_t raise_open_files_limit();

}  // namespace berth::server
