// The certificates of all TLS listeners: loaded at the start, swapped when their files change, watched for their end.
//
// What a listener says in handshakes is one immutable TlsContext. A reload makes a new one off to the side and swaps it
// in when everything in it is good; connections keep the one they began with. A thread of its own looks at the files
// when their folders change (a Kubernetes secret swaps a symlink there) and once a minute in any case.
//
// Handshakes run on a pool of their own, never on an I/O thread: a full one costs 0.2 ms with ECDSA P-256 and 1 ms with
// RSA-2048, a client's certificate may make it dearer, and all that time every connection of the I/O thread would wait.
// The two hops a handshake needs cost 50 µs together.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "base/task.h"
#include "server/descriptor.h"
#include "server/file_watch.h"
#include "server/tls_context.h"
#include "server/tls_options.h"

namespace berth::server {

/// Thread-safe after load().
class Tls {
 public:
  /// The options of each listener, in order; empty for a plain one.
  explicit Tls(std::vector<std::optional<TlsOptions>> listeners);
  ~Tls();
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  /// Once, before anything else. Errors: request_invalid, with the file and what is wrong with it.
  Result<void> load();
  /// Starts the thread that looks after the files. Does nothing without a TLS listener.
  void watch();
  /// Loads again what changed. What does not load is logged, once, and what was there stays in use.
  void reload();

  /// False too for what is no listener of the options, as the local socket.
  bool is_on(std::size_t listener) const { return listener < states_.size() && states_[listener] != nullptr; }
  /// Of a TLS listener.
  std::shared_ptr<const TlsContext> context(std::size_t listener) const;
  std::vector<CertificateStatus> certificates() const;
  /// For handshakes; there is one when any listener speaks TLS.
  Pool& pool() { return *pool_; }

  struct Counters {
    std::atomic<std::uint64_t> completed{0};
    std::atomic<std::uint64_t> resumed{0};
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> timed_out{0};
  };
  Counters counters;

 private:
  /// What the files of a listener hold.
  struct Content {
    std::vector<std::pair<std::string, std::string>> pairs;  ///< certificate and key
    std::string client_ca;
    std::string hash;
  };
  struct State {
    TlsOptions options;
    std::shared_ptr<const TlsContext> context;  ///< guarded by mutex_
    std::string hash;                           ///< of what is in use
    std::string problem;                        ///< why what the files hold is not; guarded by mutex_
    std::vector<int> warned;                    ///< the ExpiryStep each certificate was last logged with
  };

  static Result<Content> read_files(const TlsOptions& options);
  Result<std::shared_ptr<const TlsContext>> make_context(std::size_t listener, const Content& content) const;
  void take(std::size_t listener, std::shared_ptr<const TlsContext> context, std::string hash);
  void reload_one(std::size_t listener);
  void warn_of_expiry();
  void run_watch();

  std::vector<std::unique_ptr<State>> states_;  ///< by listener; null: plain
  std::shared_ptr<TicketKeys> tickets_;
  std::unique_ptr<Pool> pool_;
  metrics::Source pool_watched_;
  mutable std::mutex mutex_;
  std::mutex reloading_;  ///< one reload at a time; guards hash and warned
  std::optional<FileWatch> changes_;
  Descriptor end_;        ///< eventfd: the thread shall return
  std::thread thread_;
};

}  // namespace berth::server
