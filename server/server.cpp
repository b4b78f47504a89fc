#include "server/server.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "server/connection_counts.h"
#include "server/io_thread.h"
#include "server/listener.h"

namespace berth::server {
namespace {

/// After the last sockets were cut, running handlers have this long to notice.
constexpr auto kUnwindTime = std::chrono::seconds(10);

class TcpServer final : public Server {
 public:
  TcpServer(ServerOptions options, api::Handler& handler, registry::BufferPool& buffers, Pool& disk_pool, Entropy& entropy,
            std::atomic<std::int64_t>& heartbeat_ms)
      : tls_(tls_of(options)),
        memory_(options.memory_bytes_max),
        environment_{std::move(options), handler, buffers, disk_pool, tls_, entropy, memory_},
        thread_count_(environment_.options.io_threads > 0 ? environment_.options.io_threads
                                                          : std::max(1U, std::thread::hardware_concurrency())),
        heartbeats_(thread_count_, heartbeat_ms),
        counts_(std::make_shared<ConnectionCounts>()),
        acceptor_(environment_.options, tls_, threads_, counts_),
        drain_timeout_(environment_.options.drain_timeout) {}

  ~TcpServer() override { stop(); }

  Result<void> start() override {
    // sendfile has no flag against it, and a client that hangs up is no reason to die.
    std::signal(SIGPIPE, SIG_IGN);
    BERTH_CHECK(tls_.load());
    BERTH_CHECK(acceptor_.open());
    for (std::size_t index = 0; index < thread_count_; ++index) {
      threads_.push_back(std::make_unique<IoThread>(index, environment_, heartbeats_));
      threads_.back()->start();
    }
    acceptor_.start();
    tls_.watch();
    return {};
  }

  std::vector<std::uint16_t> ports() const override { return acceptor_.ports(); }

  void stop() override {
    acceptor_.stop();
    for (auto& thread : threads_) thread->drain();
    bool ended = counts_->wait_for_none(drain_timeout_.load());
    if (!ended) {
      spdlog::warn("{} connections did not finish in time and are cut", counts_->total());
      for (auto& thread : threads_) thread->cut();
      ended = counts_->wait_for_none(kUnwindTime);
      if (!ended) spdlog::error("{} requests do not end; the process ends without them", counts_->total());
    }
    for (auto& thread : threads_) thread->stop(ended);
    threads_.clear();
  }

  std::size_t connections() const override { return counts_->total(); }
  void set_limits(const ServerLimits& limits) override {
    acceptor_.set_limits(std::min(limits.connections_max, environment_.options.connections_cap), limits.connections_per_address_max);
    drain_timeout_.store(limits.drain_timeout);
  }
  void reload_certificates() override { tls_.reload(); }
  std::vector<CertificateStatus> certificates() const override { return tls_.certificates(); }
  HandshakeCounts handshakes() const override {
    const auto& counters = tls_.counters;
    return {counters.completed, counters.resumed, counters.failed, counters.timed_out};
  }

 private:
  static std::vector<std::optional<TlsOptions>> tls_of(const ServerOptions& options) {
    std::vector<std::optional<TlsOptions>> listeners;
    for (const auto& listener : options.listeners) listeners.push_back(listener.tls);
    return listeners;
  }

  Tls tls_;
  MemoryBudget memory_;
  const Environment environment_;
  const std::size_t thread_count_;
  Heartbeats heartbeats_;
  std::shared_ptr<ConnectionCounts> counts_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  Acceptor acceptor_;
  std::atomic<std::chrono::seconds> drain_timeout_;
};

}  // namespace

std::unique_ptr<Server> make_server(ServerOptions options, api::Handler& handler, registry::BufferPool& buffers,
                                    Pool& disk_pool, Entropy& entropy, std::atomic<std::int64_t>& heartbeat_ms) {
  return std::make_unique<TcpServer>(std::move(options), handler, buffers, disk_pool, entropy, heartbeat_ms);
}

}  // namespace berth::server
