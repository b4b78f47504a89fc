// What is counted of listeners, connections and handshakes. Names and meaning: docs/metrics.md.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/task.h"
#include "server/tls_options.h"

namespace berth::server {

struct ListenerOptions;

/// Why a connection is turned away before anything was read from it.
enum class Rejection : std::uint8_t { address, total, descriptors, foreign_user };
/// For the client, as far as it can be told.
std::string_view sentence_of(Rejection why);
void count_rejected(Rejection why);

/// One connection, counted as open until this goes.
class OpenConnection {
 public:
  OpenConnection() = default;
  explicit OpenConnection(metrics::Gauge& open) : open_(&open) { open.add(1); }
  OpenConnection(OpenConnection&& other) noexcept : open_(std::exchange(other.open_, nullptr)) {}
  OpenConnection& operator=(OpenConnection&& other) noexcept {
    std::swap(open_, other.open_);
    return *this;
  }
  ~OpenConnection() {
    if (open_ != nullptr) open_->add(-1);
  }

 private:
  metrics::Gauge* open_ = nullptr;
};

/// The connections of each listener, by the address it was given; those of the local socket are `local`.
class ConnectionMetrics {
 public:
  explicit ConnectionMetrics(const std::vector<ListenerOptions>& listeners);
  /// `listener`: as in Accepted.
  OpenConnection opened(std::size_t listener) const;

 private:
  struct Listener {
    metrics::Counter& accepted;
    metrics::Gauge& open;
  };
  std::vector<Listener> listeners_;
};

void count_handshake(bool is_1_3, bool resumed, std::chrono::steady_clock::duration lasted);
/// `gone`: the client hung up in the middle.
enum class BrokenHandshake : std::uint8_t { failed, timed_out, gone };
void count_handshake(BrokenHandshake how);

/// How much later than asked for a thread's timer went off: what else it had to do first.
void count_loop_lag(std::chrono::steady_clock::duration lag);

/// How busy a pool is, for as long as this is kept; the pool must outlive it.
metrics::Source watch_pool(const Pool& pool);

/// When certificates end and whether their files can be loaded, read at each scrape.
metrics::Source watch_certificates(std::function<std::vector<CertificateStatus>()> read);

}  // namespace berth::server
