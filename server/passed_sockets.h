// Listening sockets that the service manager opened before berth ran: sd_listen_fds(3). Clients that connect while berth
// starts, or starts again, wait in their queue instead of being refused.
//
// A socket goes to the listener with the same address. Neither order nor name decides: what a listener may do without a
// login depends on who reaches its address, so a socket that others reach must never become one that only this machine
// is said to reach.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/server.h"

namespace berth::server {

struct PassedSocket {
  int descriptor = -1;
  std::string name;     ///< of the socket unit, for messages; may be empty
  std::string address;  ///< "127.0.0.1", "::"
  std::uint16_t port = 0;
};

/// What LISTEN_FDS with LISTEN_PID and LISTEN_FDNAMES hand to the process `pid`; none where they name another process.
/// The descriptors do not go on to programs that are started. Errors: request_invalid, with what was passed that is no
/// listening TCP socket.
Result<std::vector<PassedSocket>> passed_sockets(const std::map<std::string, std::string>& environment, std::int64_t pid,
                                                 int first = 3);

/// Gives each listener the socket with its address; "0.0.0.0" and "[::]" are the same, and port 0 takes any port. Those
/// without one bind for themselves. Errors: request_invalid, with the socket that no listener has, and what they have.
Result<void> adopt_sockets(const std::vector<PassedSocket>& sockets, std::vector<ListenerOptions>& listeners);

}  // namespace berth::server
