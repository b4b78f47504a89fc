// Sockets and the life of connections. Knows HTTP/1.1's framing; knows nothing of repositories.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/http.h"
#include "base/env.h"
#include "base/task.h"
#include "registry/buffer.h"
#include "server/forwarded.h"
#include "server/tls_options.h"

namespace berth::server {

struct ListenerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 5000;  ///< 0: the kernel chooses; see Server::ports()
  bool loopback = true;       ///< trusted because only this machine reaches it
  std::optional<TlsOptions> tls = std::nullopt;
  TrustedProxies trusted_proxies = {};  ///< whose word counts about who the client is
  int passed_socket = -1;  ///< listens already at that address and is taken over; -1: there is none
};

struct ServerOptions {
  std::vector<ListenerOptions> listeners;
  /// Path of the local socket, for this process's own user and root; empty: none. In requests it is the listener after
  /// the last. Where it cannot be made the log says so, and the others are served without it.
  std::string local_socket = {};
  std::size_t io_threads = 0;  ///< 0: one per core
  std::size_t connections_max = 16'384;
  std::size_t connections_cap = SIZE_MAX;   ///< as many as there are descriptors for; no limit goes beyond
  std::size_t connections_per_address_max = 1'024;  ///< loopback and trusted proxies are exempt
  std::size_t header_bytes_max = 32 << 10;
  /// What all connections together may hold in memory of heads beyond 4 KiB each and of answers beyond 8 KiB each, files
  /// not among it; who needs more is answered 503.
  std::size_t memory_bytes_max = 128 << 20;
  std::chrono::seconds header_timeout{10};
  std::chrono::seconds idle_timeout{150};
  std::chrono::seconds rate_window{30};        ///< a peer that moves less than rate_bytes in this time of waiting is let go
  std::size_t rate_bytes = 30 << 10;
  std::chrono::seconds drain_timeout{110};
  std::function<void()> on_tick;  ///< called once a second on each I/O thread; must not block; may be empty
};

/// What of ServerOptions may change while the server runs.
struct ServerLimits {
  std::size_t connections_max = 0;
  std::size_t connections_per_address_max = 0;
  std::chrono::seconds drain_timeout{0};
};

class Server {
 public:
  virtual ~Server() = default;
  /// Loads the certificates, binds and listens; starts the I/O threads. Errors: unavailable (the address is taken),
  /// request_invalid (a certificate), with a sentence.
  virtual Result<void> start() = 0;
  /// The ports in use, in the order of the listeners.
  virtual std::vector<std::uint16_t> ports() const = 0;
  /// Stops accepting, lets running requests finish for drain_timeout (idle connections close at once), then cuts what
  /// is left and joins the threads. Blocks. Idempotent.
  virtual void stop() = 0;
  virtual std::size_t connections() const = 0;
  /// For connections that come from now on, and for a stop() from now on. Thread-safe.
  virtual void set_limits(const ServerLimits& limits) = 0;
  /// Loads the certificates again whose files changed; what does not load is logged and changes nothing. Reads files.
  virtual void reload_certificates() = 0;
  virtual std::vector<CertificateStatus> certificates() const = 0;
  virtual HandshakeCounts handshakes() const = 0;
};

std::unique_ptr<Server> make_server(ServerOptions options, api::Handler& handler, registry::BufferPool& buffers,
                                    Pool& disk_pool, Entropy& entropy, std::atomic<std::int64_t>& heartbeat_ms);

}  // namespace berth::server
