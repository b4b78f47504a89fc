// Accepts connections on a thread of its own and hands each to the least loaded I/O thread.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "server/connection_counts.h"
#include "server/connection_metrics.h"
#include "server/descriptor.h"
#include "server/io_thread.h"
#include "server/local_socket.h"
#include "server/server.h"

namespace berth::server {

class Acceptor {
 public:
  /// `tls` and `threads` outlive the acceptor.
  Acceptor(const ServerOptions& options, const Tls& tls, std::vector<std::unique_ptr<IoThread>>& threads,
           std::shared_ptr<ConnectionCounts> counts);
  ~Acceptor() { stop(); }

  /// Binds and listens on every address, or on none. Errors: unavailable, with a sentence.
  Result<void> open();
  std::vector<std::uint16_t> ports() const;
  void start();
  /// Thread-safe.
  void set_limits(std::size_t connections_max, std::size_t connections_per_address_max) {
    connections_max_.store(connections_max, std::memory_order_relaxed);
    connections_per_address_max_.store(connections_per_address_max, std::memory_order_relaxed);
  }
  /// Nobody is accepted any more. Idempotent; joins.
  void stop();

 private:
  Result<void> open_one(const ListenerOptions& options);
  void open_local();
  template <class Listening>
  asio::awaitable<void> accept_from(Listening& acceptor, std::size_t listener);
  /// False: there is nobody waiting, or no descriptor for them.
  bool accept_one(std::size_t listener, bool& exhausted);
  bool is_local(std::size_t listener) const { return listener == acceptors_.size(); }
  int descriptor_of(std::size_t listener);
  void refuse(const Descriptor& descriptor, std::size_t listener, Rejection why) const;
  void take(Descriptor descriptor, const asio::ip::tcp::endpoint& peer, std::size_t listener);
  void take_local(Descriptor descriptor, std::size_t listener);
  void hand_over(Accepted accepted);
  bool make_room();
  void relieve(std::size_t listener, int error);

  const ServerOptions& options_;
  std::atomic<std::size_t> connections_max_;
  std::atomic<std::size_t> connections_per_address_max_;
  const Tls& tls_;
  std::vector<std::unique_ptr<IoThread>>& threads_;
  std::shared_ptr<ConnectionCounts> counts_;
  const ConnectionMetrics metrics_;
  asio::io_context io_{1};
  std::vector<asio::ip::tcp::acceptor> acceptors_;
  std::optional<LocalSocket> local_socket_;
  asio::local::stream_protocol::acceptor local_acceptor_{io_};
  Descriptor reserve_;  ///< given up for a moment when no descriptor is left, to turn a waiting client away
  SteadyTime complained_{};
  std::thread thread_;
};

}  // namespace berth::server
