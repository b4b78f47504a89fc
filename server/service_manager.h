// What the service manager is told of the process's life: sd_notify(3), which is a datagram of a line or two to a socket
// that the environment names. Nobody to tell is the usual case and costs nothing.
//
// The watchdog is fed from the ticks of the I/O threads, and only while the slowest of them is fresh: a thread that
// hangs is seen by the others, and when all hang nobody feeds. No thread is needed for it.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/env.h"
#include "server/descriptor.h"

namespace berth::server {

using Variables = std::map<std::string, std::string>;

/// Thread-safe.
class ServiceManager {
 public:
  /// Looks for NOTIFY_SOCKET, and for WATCHDOG_USEC with WATCHDOG_PID, which must be `pid`.
  ServiceManager(const Variables& environment, std::int64_t pid);

  /// Requests are served, also after reloading().
  void ready();
  /// Settings are being read again.
  void reloading();
  void stopping();
  /// To be called about once a second. `heartbeat_ms`: steady milliseconds of the slowest I/O thread's last tick.
  void tick(SteadyTime now, std::int64_t heartbeat_ms);

  /// How often the watchdog wants to hear something; zero: there is none.
  std::chrono::microseconds watchdog() const { return watchdog_; }

 private:
  bool send(std::string_view state) const;

  Descriptor socket_;
  sockaddr_un address_{};
  socklen_t address_size_ = 0;
  std::chrono::microseconds watchdog_{0};
  std::atomic<std::int64_t> feed_at_ms_{0};
};

}  // namespace berth::server
