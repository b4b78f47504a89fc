// One I/O thread: an io_context of its own, the sessions that live on it, and the tick that keeps their deadlines.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "server/session.h"

namespace berth::server {

/// What a thread and its sessions share. Its own thread only, but for `io` and the atomics.
struct ThreadState {
  using List = boost::intrusive::list<Session, boost::intrusive::constant_time_size<false>>;

  /// Refused heads are logged up to this number a second, floods of them counted.
  static constexpr std::size_t kRefusalsLogged = 10;
  static constexpr std::size_t kHandshakesLogged = 3;

  asio::io_context io{1};
  DateText date;
  bool draining = false;             ///< answers end their connection
  bool stopping = false;             ///< no further tick
  std::size_t refusals = 0;          ///< since the last tick
  std::size_t handshakes_refused = 0;  ///< since the last tick
  List busy;
  List idle;                         ///< between two requests, oldest first
  std::atomic<std::size_t> sessions{0};       ///< also those that are on their way from the acceptor
  std::atomic<std::size_t> idle_count{0};
  std::atomic<std::size_t> unproven_count{0};  ///< busy sessions that have not sent a whole head yet
  std::atomic<std::size_t> closing_count{0};   ///< sessions that the acceptor has asked to be closed

  void begin_idle(Session& session);
  void end_idle(Session& session);
};

/// When each I/O thread was last alive, and the slowest of them for the health routes. Thread-safe.
class Heartbeats {
 public:
  Heartbeats(std::size_t threads, std::atomic<std::int64_t>& slowest) : beats_(threads), slowest_(slowest) {}
  void beat(std::size_t thread, SteadyTime now);

 private:
  std::vector<std::atomic<std::int64_t>> beats_;
  std::atomic<std::int64_t>& slowest_;
};

/// Thread-safe after start().
class IoThread {
 public:
  IoThread(std::size_t index, const Environment& environment, Heartbeats& heartbeats);
  ~IoThread();

  void start();
  /// Takes a connection over.
  void adopt(Accepted accepted);
  /// How many connections nobody would miss: idle ones, and those that have not asked for anything yet.
  std::size_t dispensable() const {
    return state_->idle_count.load(std::memory_order_relaxed) + state_->unproven_count.load(std::memory_order_relaxed);
  }
  std::size_t sessions() const { return state_->sessions.load(std::memory_order_relaxed); }
  /// Asks for the oldest idle connection to be closed, or else for the oldest that has not come to its first request: a
  /// good client needs a moment for it. False: there is none that is not being closed already.
  bool close_oldest();
  /// Idle connections close now, the others after their running request.
  void drain();
  /// Ends all connections; what a handler still does runs to its end.
  void cut();
  /// After the last connection ended, or to give up on those that hang. Joins.
  void stop(bool all_ended);

 private:
  void run();
  void schedule_tick();
  void tick();
  void begin_session(Accepted accepted);

  const std::size_t index_;
  const Environment& environment_;
  Heartbeats& heartbeats_;
  std::shared_ptr<ThreadState> state_;
  asio::steady_timer timer_;
  std::thread thread_;
};

}  // namespace berth::server
