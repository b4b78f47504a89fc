#include "server/io_thread.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

namespace berth::server {
namespace {

constexpr auto kTick = std::chrono::seconds(1);

/// The kernel gives up on a peer that acknowledges nothing, or takes nothing, this much later than we do: where we end
/// the connection the peer is told by a reset, where the kernel does it is not.
constexpr auto kKernelMargin = std::chrono::seconds(5);

/// Options that make a vanished peer known; a kernel that refuses one of them changes nothing else.
void tune_tcp(int descriptor, std::chrono::milliseconds rate_window) {
  const auto set = [descriptor](int level, int name, int value) {
    (void)::setsockopt(descriptor, level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>((rate_window + kKernelMargin).count()));
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

}  // namespace

void ThreadState::begin_idle(Session& session) {
  session.unlink();
  idle.push_back(session);
  idle_count.fetch_add(1, std::memory_order_relaxed);
  if (!session.has_asked()) unproven_count.fetch_sub(1, std::memory_order_relaxed);
}

void ThreadState::end_idle(Session& session) {
  session.unlink();
  busy.push_back(session);
  idle_count.fetch_sub(1, std::memory_order_relaxed);
  if (!session.has_asked()) unproven_count.fetch_add(1, std::memory_order_relaxed);
}

void Heartbeats::beat(std::size_t thread, SteadyTime now) {
  beats_[thread].store(std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
  auto slowest = beats_.front().load();
  for (const auto& beat : beats_) slowest = std::min(slowest, beat.load());
  slowest_.store(slowest);
}

IoThread::IoThread(std::size_t index, const Environment& environment, Heartbeats& heartbeats)
    : index_(index),
      environment_(environment),
      heartbeats_(heartbeats),
      state_(std::make_shared<ThreadState>()),
      timer_(state_->io) {}

IoThread::~IoThread() { stop(false); }

void IoThread::start() {
  heartbeats_.beat(index_, std::chrono::steady_clock::now());
  schedule_tick();
  thread_ = std::thread([this] { run(); });
}

void IoThread::run() {
  ::pthread_setname_np(::pthread_self(), ("berth-io-" + std::to_string(index_)).c_str());
  for (;;) {
    // Sessions catch their own; this is for what a bug of ours posts.
    try {
      state_->io.run();
      return;
    } catch (const std::exception& error) {
      spdlog::error("unexpected exception on an I/O thread: {}", error.what());
    } catch (...) {
      spdlog::error("unexpected exception on an I/O thread");
    }
  }
}

void IoThread::schedule_tick() {
  if (state_->stopping) return;
  timer_.expires_after(kTick);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) tick();
  });
}

void IoThread::tick() {
  const auto now = std::chrono::steady_clock::now();
  count_loop_lag(now - timer_.expiry());
  heartbeats_.beat(index_, now);
  // check() only posts what it ends, so the lists do not change under us.
  for (auto& session : state_->busy) session.check(now);
  for (auto& session : state_->idle) session.check(now);
  if (const auto refused = std::exchange(state_->refusals, 0); refused > ThreadState::kRefusalsLogged) {
    spdlog::info("refused {} more requests in the last second", refused - ThreadState::kRefusalsLogged);
  }
  if (const auto refused = std::exchange(state_->handshakes_refused, 0); refused > ThreadState::kHandshakesLogged) {
    spdlog::info("{} more TLS handshakes failed in the last second", refused - ThreadState::kHandshakesLogged);
  }
  schedule_tick();
  if (environment_.options.on_tick) environment_.options.on_tick();
}

void IoThread::adopt(Accepted accepted) {
  state_->sessions.fetch_add(1, std::memory_order_relaxed);
  auto job = [this, accepted = std::move(accepted)]() mutable { begin_session(std::move(accepted)); };
  asio::post(state_->io, std::move(job));
}

void IoThread::begin_session(Accepted accepted) {
  const asio::generic::stream_protocol protocol(accepted.family, 0);
  Wire::Socket socket(state_->io);
  boost::system::error_code error;
  socket.assign(protocol, accepted.descriptor.get(), error);
  if (error || state_->draining) {
    if (error) spdlog::warn("cannot watch a new connection: {}", error.message());
    else accepted.descriptor.release();  // The socket owns it.
    state_->sessions.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  const int descriptor = accepted.descriptor.release();
  if (!accepted.local_uid) tune_tcp(descriptor, environment_.options.rate_window);
  auto session = std::make_shared<Session>(std::move(socket), std::move(accepted), environment_, state_);
  state_->busy.push_back(*session);
  state_->unproven_count.fetch_add(1, std::memory_order_relaxed);
  auto ended = [session](const std::exception_ptr& thrown) {
    // A stray exception ends its connection and nothing else.
    if (thrown) {
      try {
        std::rethrow_exception(thrown);
      } catch (const std::exception& stray) {
        spdlog::error("unexpected exception on the connection from {}: {}", session->peer_address(), stray.what());
      } catch (...) {
        spdlog::error("unexpected exception on the connection from {}", session->peer_address());
      }
    }
    session->end();
  };
  asio::co_spawn(state_->io, session->run(), std::move(ended));
}

bool IoThread::close_oldest() {
  auto& closing = state_->closing_count;
  if (closing.fetch_add(1) >= dispensable()) {
    closing.fetch_sub(1);
    return false;
  }
  asio::post(state_->io, [state = state_.get()] {
    const auto cut_first = [](ThreadState::List& sessions, auto wanted) {
      const auto found = std::find_if(sessions.begin(), sessions.end(), wanted);
      if (found == sessions.end()) return false;
      found->cut();
      return true;
    };
    // An idle one may have its next request just now, and either may be on its way out.
    if (!cut_first(state->idle, [](const Session& each) { return each.idle(); })) {
      cut_first(state->busy, [](const Session& each) { return !each.has_asked() && !each.over(); });
    }
    state->closing_count.fetch_sub(1);
  });
  return true;
}

void IoThread::drain() {
  asio::post(state_->io, [state = state_.get()] {
    state->draining = true;
    for (auto& session : state->idle) {
      if (session.idle()) session.cut();
    }
  });
}

void IoThread::cut() {
  asio::post(state_->io, [state = state_.get()] {
    for (auto& session : state->busy) session.cut();
    for (auto& session : state->idle) session.cut();
  });
}

void IoThread::stop(bool all_ended) {
  if (!thread_.joinable()) return;
  asio::post(state_->io, [this] {
    state_->stopping = true;
    timer_.cancel();
  });
  if (!all_ended) {
    // What hangs is left behind: ending it would free memory that a pool's thread may still use. The io_context stays
    // with it, whether a session of its own hangs or not, because answers from elsewhere are yet to be posted to what
    // waits there: a fetch of an issuer's keys belongs to no session.
    static std::mutex mutex;
    static auto* const left_behind = new std::vector<std::shared_ptr<ThreadState>>;
    const std::lock_guard lock(mutex);
    left_behind->push_back(state_);
    state_->io.stop();
  }
  thread_.join();
}

}  // namespace berth::server
