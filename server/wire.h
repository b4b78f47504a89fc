// One connection's socket and its patience with the peer.
//
// Reads and writes never wait; waiting is a step of its own, so that nobody holds a buffer while a peer thinks. No
// timer runs per step: while a wait lasts the I/O thread calls check() once a second, which ends a wait whose deadline
// passed or whose peer moves too little. Only waiting counts: a slow disk of ours is never held against a client.
//
// One I/O thread, but for the constructor.
#pragma once

#include <sys/uio.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/env.h"

namespace berth::server {

class TlsStream;

namespace asio = boost::asio;

/// A peer that moves less than `bytes` in `window` of being waited for is let go. The window slides in thirds, so that
/// the burst which fills the kernel's buffers buys a stalled peer a third of a window, not a whole one.
struct RateLimit {
  std::chrono::steady_clock::duration window = std::chrono::seconds(30);
  std::uint64_t bytes = 30 << 10;
};

class Wire {
 public:
  /// What the peer is waited for. idle, head and linger end at the deadline; body and response at the rate.
  enum class Wait : std::uint8_t { none, idle, head, linger, body, response };
  enum class Outcome : std::uint8_t {
    moved,
    blocked,     ///< nothing now; wait
    ended,       ///< the peer sends no more; of a file: shorter than it was
    broken,      ///< the connection is dead or was cut
    unreadable,  ///< the file could not be read
  };
  struct Moved {
    Outcome outcome = Outcome::broken;
    std::size_t bytes = 0;
  };

  using Socket = asio::generic::stream_protocol::socket;

  /// `socket`: TCP, or the local socket when `local`.
  Wire(Socket socket, RateLimit rate, bool local = false);
  ~Wire();

  /// From here on all goes through `stream`, whose handshake is done.
  void secure(std::shared_ptr<TlsStream> stream);
  int descriptor() { return socket_.native_handle(); }
  /// The first byte that came, if one has, without taking it.
  std::optional<std::byte> first_byte();

  Moved read(std::span<std::byte> into);
  /// Drops what came, without copying it.
  Moved discard(std::size_t bytes_max);
  /// `more`: bytes follow at once, so a short packet is not worth sending.
  Moved write(std::span<const iovec> pieces, bool more);
  /// At most `size` bytes.
  Moved send_file(int file, std::uint64_t offset, std::size_t size);
  /// Received and not yet read; of TLS about that much.
  std::size_t readable() const;
  /// How much of a file one connection may send before the next has its turn.
  std::size_t turn_bytes() const;
  bool encrypted() const { return tls_ != nullptr; }

  /// How many bytes must have come before a wait for them ends (the end of the stream always ends it). Lets a slow body
  /// gather in the kernel while we hold no buffer for it.
  void set_read_threshold(std::size_t bytes);
  /// Ends waits of the kinds idle, head and linger.
  void set_deadline(SteadyTime deadline) { deadline_ = deadline; }
  /// Before the first wait of a body or a response: its rate is judged afresh.
  void begin_rate() { rate_begun_ = false; }

  /// False: the wait ended by a deadline (timed_out()) or because the connection is over.
  asio::awaitable<bool> wait_readable(Wait why);
  asio::awaitable<bool> wait_writable(Wait why = Wait::response);

  Wait waiting() const { return waiting_; }
  bool timed_out() const { return timed_out_; }
  bool over() const { return over_; }

  /// Ends a wait that took too long.
  void check(SteadyTime now);
  /// Ends the connection from our side: every wait and every further step fails, the peer sees it at once.
  void cut();
  /// Emits at a cut, for whatever else is waited for on behalf of the peer. Lives as long as the wire.
  asio::cancellation_slot cut_slot() { return cut_signal_.slot(); }
  /// Says that we send no more.
  void half_close();
  /// `reset`: what the kernel still holds for the peer is dropped with the connection.
  void close(bool reset);

 private:
  asio::awaitable<bool> wait(Socket::wait_type what, Wait why);
  std::size_t unread_in_kernel() const;
  Moved send_file_encrypted(int file, std::uint64_t offset, std::size_t size);
  bool moves_too_little(SteadyTime now);
  std::uint64_t progress() const;

  Socket socket_;
  bool local_;
  std::shared_ptr<TlsStream> tls_;  ///< null: what is sent is sent as it is
  RateLimit rate_;
  Wait waiting_ = Wait::none;
  bool timed_out_ = false;
  bool over_ = false;
  asio::cancellation_signal cut_signal_;
  bool rate_begun_ = false;
  std::size_t read_threshold_ = 1;
  SteadyTime deadline_ = SteadyTime::max();
  SteadyTime wait_begin_{};
  std::chrono::steady_clock::duration waited_{};  ///< in this third, without the wait that runs
  /// progress() when the last thirds of the window began, the oldest first; as many as have begun.
  std::array<std::uint64_t, 3> third_base_{};
  std::size_t thirds_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t sent_ = 0;
};

}  // namespace berth::server
