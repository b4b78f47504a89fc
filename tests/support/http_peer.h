// An HTTP server of a test, for what berth asks of others: on loopback, one thread a connection, plain or TLS, and as
// ill-behaved as a test wants it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace berth {

class TestAuthority;

struct PeerRequest {
  std::string method;
  std::string target;
  std::string head;  ///< with the request line
  std::string body;
};

struct PeerReply {
  unsigned status = 200;
  std::string body = {};
  std::string headers = {};            ///< whole lines, each with its CRLF
  std::chrono::milliseconds delay{0};  ///< before the first byte; ends early with the peer
  bool never_end = false;              ///< repeats `body` until the other side goes away
  bool close_early = false;            ///< says nothing and closes
};

class HttpPeer {
 public:
  using Handler = std::function<PeerReply(const PeerRequest&)>;

  /// With an authority it speaks TLS.
  explicit HttpPeer(Handler handler, const TestAuthority* authority = nullptr);
  HttpPeer(const HttpPeer&) = delete;
  HttpPeer& operator=(const HttpPeer&) = delete;
  ~HttpPeer();

  /// "https://127.0.0.1:40123" and `path`.
  std::string url(const std::string& path = "") const;
  std::uint16_t port() const { return port_; }
  std::vector<PeerRequest> requests() const;
  std::size_t connections() const { return accepted_.load(); }

 private:
  class Stream;
  void accept_loop();
  void serve(int descriptor);
  PeerReply answer(const PeerRequest& request);
  bool write_reply(Stream& stream, const PeerReply& reply);

  Handler handler_;
  void* tls_ = nullptr;  ///< SSL_CTX
  int listening_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> accepted_{0};
  mutable std::mutex mutex_;
  std::vector<PeerRequest> requests_;
  std::vector<std::thread> threads_;
  std::vector<int> open_;
  std::thread acceptor_;
};

/// A port of loopback on which nobody listens (until somebody else is given it).
std::uint16_t closed_port();

}  // namespace berth
