// Signals, and changes of the settings' file, taken by one thread that waits for them, so that nothing ever runs in the
// middle of anything else.
#pragma once

#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>

#include "server/file_watch.h"
#include "storage/file_system.h"

namespace berth::server {

/// Keeps SIGTERM, SIGINT and SIGHUP waiting for Signals, in the calling thread and all it starts later: call it before
/// any other thread exists. SIGPIPE is ignored from here on.
void block_signals();

/// SIGTERM and SIGINT ask to stop; a second one insists: the process ends at once, which loses nothing that was
/// acknowledged. Signals that came since block_signals() count.
class Signals {
 public:
  /// What these use must outlive Signals, whose thread calls them; not once it was asked to stop.
  struct Calls {
    std::function<void()> on_reload;  ///< SIGHUP
    std::optional<std::string> file = std::nullopt;
    std::function<void()> on_change = {};  ///< the file may have changed; also once a minute, in case nobody noticed
  };
  explicit Signals(Calls calls);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Blocks until the first SIGTERM or SIGINT. Once.
  void wait_for_stop();

 private:
  void loop();

  storage::Fd signals_;  ///< signalfd
  storage::Fd end_;      ///< eventfd: the thread shall return
  const Calls calls_;
  std::optional<FileWatch> watch_;
  std::promise<void> stop_;
  std::thread thread_;
};

/// Sockets and files are many: as many as the hard limit allows. Answers the limit in force.
std::size_t raise_open_files_limit();

}  // namespace berth::server
