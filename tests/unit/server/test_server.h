// A server over real loopback sockets with a handler that does what its target says, and a client that writes bytes.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <catch2/catch.hpp>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "server/descriptor.h"
#include "server/server.h"
#include "tests/support/tls_client.h"

namespace berth::server {

using namespace std::chrono_literals;

/// Does it come true within eight seconds?
template <class Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 800; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

/// Bytes that tell where they stand, so that a swapped or lost piece shows.
inline std::string pattern(std::size_t size, std::uint64_t seed = 1) {
  std::string out(size, '\0');
  std::uint64_t x = seed;
  for (auto& c : out) {
    x = x * 6364136223846793005U + 1442695040888963407U;
    c = static_cast<char>(x >> 56);
  }
  return out;
}

inline std::shared_ptr<storage::OpenBlob> memory_file(std::string_view content) {
  auto blob = std::make_shared<storage::OpenBlob>();
  const int fd = ::memfd_create("blob", MFD_CLOEXEC);
  REQUIRE(fd >= 0);
  std::size_t written = 0;
  while (written < content.size()) {
    const auto n = ::pwrite(fd, content.data() + written, content.size() - written, static_cast<off_t>(written));
    REQUIRE(n > 0);
    written += static_cast<std::size_t>(n);
  }
  blob->fd = storage::Fd(fd);
  blob->size = content.size();
  return blob;
}

/// On a real disk, with none of it in memory.
inline std::shared_ptr<storage::OpenBlob> cold_file(std::string_view content) {
  char path[] = "/var/tmp/berth-session-test-XXXXXX";
  auto blob = std::make_shared<storage::OpenBlob>();
  blob->fd = storage::Fd(::mkstemp(path));
  REQUIRE(blob->fd);
  ::unlink(path);
  REQUIRE(::pwrite(blob->fd.get(), content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
  REQUIRE(::fdatasync(blob->fd.get()) == 0);
  REQUIRE(::posix_fadvise(blob->fd.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
  blob->size = content.size();
  return blob;
}

struct Finished {
  std::string target;
  unsigned status = 0;
  std::uint64_t bytes = 0;
  bool complete = false;
  std::uint64_t received = 0;
  std::chrono::steady_clock::duration disk_wait{};

  /// But for times.
  bool operator==(const Finished& other) const {
    return target == other.target && status == other.status && bytes == other.bytes && complete == other.complete &&
           received == other.received;
  }
};

class TestHandler final : public api::Handler {
 public:
  std::shared_ptr<storage::OpenBlob> file;
  std::atomic<int> unreadable{0};  ///< answers whose file could not be read to its end
  std::shared_ptr<const std::string> memory;
  std::atomic<int> running{0};
  std::atomic<int> answered{0};
  std::atomic<bool> loopback_seen{false};

  asio::awaitable<api::Response> handle(api::Request& request) override {
    ++running;
    auto response = co_await answer(request);
    --running;
    ++answered;
    co_return response;
  }

  void finished(const api::Request& request, const api::Response& response, const api::Outcome& outcome) override {
    const std::lock_guard lock(mutex_);
    finished_.push_back({request.target, response.status, outcome.sent, outcome.complete, outcome.received,
                         outcome.disk_wait});
  }

  /// What finished() was told of a target, waiting for it.
  Finished finished_of(const std::string& target) {
    for (int i = 0; i < 400; ++i) {
      {
        const std::lock_guard lock(mutex_);
        for (const auto& entry : finished_) {
          if (entry.target == target) return entry;
        }
      }
      std::this_thread::sleep_for(10ms);
    }
    return {};
  }
  std::size_t finished_count() {
    const std::lock_guard lock(mutex_);
    return finished_.size();
  }

 private:
  static api::Response text(std::string body) { return api::text_response(200, std::move(body), "text/plain"); }

  asio::awaitable<api::Response> answer(api::Request& request) {
    const auto& target = request.target;
    loopback_seen = request.loopback_listener;
    if (target.starts_with("/hello")) co_return text("hello");
    if (target.starts_with("/head")) co_return describe(request);
    if (target.starts_with("/echo")) co_return co_await echo(request);
    if (target.starts_with("/one")) {
      auto piece = co_await request.body->next();
      co_return text(piece ? std::to_string(piece->size()) : std::string(to_string(piece.error().code)));
    }
    if (target.starts_with("/ignore")) co_return api::text_response(401, "no", "text/plain");
    if (target.starts_with("/close")) {
      auto response = text("bye");
      response.close = true;
      co_return response;
    }
    if (target.starts_with("/throw")) throw std::runtime_error("a bug");
    if (target.starts_with("/nothing")) {
      api::Response response;
      response.status = api::kNoAnswer;
      co_return response;
    }
    if (target.starts_with("/inject")) {
      auto response = text("x");
      response.headers.add("Location", "/a\r\nSet-Cookie: b");
      co_return response;
    }
    if (target.starts_with("/empty")) {
      api::Response response;
      response.status = target == "/empty304" ? 304 : 204;
      if (response.status == 304) response.body.emplace_back(std::string("not sent"));
      co_return response;
    }
    if (target.starts_with("/file")) {
      api::Response response;
      response.body.emplace_back(api::FileSlice{file, {0, file->size}});
      response.on_unreadable = [this] { ++unreadable; };
      co_return response;
    }
    if (target.starts_with("/parts")) {
      api::Response response;
      response.body.emplace_back(std::string("<"));
      response.body.emplace_back(api::FileSlice{file, {1, 4}});
      response.body.emplace_back(std::string(""));
      response.body.emplace_back(std::string("|"));
      response.body.emplace_back(api::MemorySlice{memory, {2, 7}});
      response.body.emplace_back(api::FileSlice{file, {7, 7}});
      response.body.emplace_back(api::FileSlice{file, {5, 9}});
      response.body.emplace_back(std::string(">"));
      co_return response;
    }
    if (target.starts_with("/memory")) {
      api::Response response;
      response.body.emplace_back(api::MemorySlice{memory, {0, memory->size()}});
      co_return response;
    }
    if (target.starts_with("/wait")) {
      asio::steady_timer timer(co_await asio::this_coro::executor);
      timer.expires_after(std::chrono::milliseconds(std::stoi(target.substr(6))));
      co_await timer.async_wait(asio::use_awaitable);
      co_return text("waited");
    }
    if (target.starts_with("/late")) {
      std::thread([interrupt = request.body->interrupter()] {
        std::this_thread::sleep_for(50ms);
        interrupt();
      }).detach();
      co_return text("early");
    }
    if (target.starts_with("/interrupt")) {
      std::thread([interrupt = request.body->interrupter()] {
        std::this_thread::sleep_for(100ms);
        interrupt();
      }).detach();
      std::string seen;
      for (;;) {
        auto piece = co_await request.body->next();
        if (!piece) seen = to_string(piece.error().code);
        if (!piece || piece->size() == 0) break;
      }
      last_error = seen == "aborted";
      api::Response response;
      response.status = api::kNoAnswer;
      co_return response;
    }
    co_return api::text_response(404, "?", "text/plain");
  }

  static api::Response describe(const api::Request& request) {
    std::string out = request.method_text + " " + request.target + "\n";
    for (const auto& [name, value] : request.headers.items()) out += name + "=" + value + "\n";
    if (request.secure) out += "secure\n";
    if (request.local_uid) out += fmt::format("uid {}\n", *request.local_uid);
    if (const auto& certificate = request.client_certificate) {
      out += certificate->subject + "\n";
      for (const auto* names : {&certificate->dns_names, &certificate->uris, &certificate->emails})
        for (const auto& name : *names) out += name + "\n";
    }
    if (!request.via.empty()) out += "via " + request.via + "\n";
    out += request.peer_address + (request.has_body ? " body " : " ") +
           (request.content_length ? std::to_string(*request.content_length) : "-");
    return text(out);
  }

  static asio::awaitable<api::Response> echo(api::Request& request) {
    std::string body;
    for (;;) {
      auto piece = co_await request.body->next();
      if (!piece) {
        const auto code = piece.error().code;
        if (code == ErrorCode::aborted) {
          api::Response response;
          response.status = api::kNoAnswer;
          co_return response;
        }
        co_return api::text_response(code == ErrorCode::request_timeout ? 408 : 400, std::string(to_string(code)), "text/plain");
      }
      if (piece->size() == 0) break;
      body += as_text(piece->bytes());
    }
    // The end stays the end.
    auto again = co_await request.body->next();
    if (!again || again->size() != 0) co_return api::text_response(500, "the end came twice", "text/plain");
    co_return text(std::move(body));
  }

 public:
  std::atomic<bool> last_error{false};

 private:
  std::mutex mutex_;
  std::vector<Finished> finished_;
};

struct Reply {
  unsigned status = 0;
  std::string head;  ///< with its empty line
  std::string body;
  bool complete = false;

  std::string field(const std::string& name) const {
    const auto at = head.find("\r\n" + name + ": ");
    if (at == head.npos) return "";
    const auto begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
  bool closes() const { return field("Connection") == "close"; }
};

/// A blocking client; nothing waits longer than ten seconds.
class Client {
 public:
  explicit Client(std::uint16_t port, int receive_buffer = 0) : Client(AF_INET) {
    // No assertions here: clients also live on threads of their own.
    if (receive_buffer > 0) ::setsockopt(descriptor_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    connect(port);
  }
  /// Has its descriptor and is not connected.
  Client() : Client(AF_INET) {}
  explicit Client(int family) : descriptor_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{10, 0};
    ::setsockopt(descriptor_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(descriptor_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }

  void connect(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(descriptor_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  /// Of a client made with AF_UNIX.
  void connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = ::connect(descriptor_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  bool connected() const { return connected_; }
  int descriptor() const { return descriptor_.get(); }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = tls_ ? tls_->send(bytes) : ::send(descriptor_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  void shutdown_write() {
    if (tls_) tls_->say_goodbye();
    ::shutdown(descriptor_.get(), SHUT_WR);
  }
  /// From here on through TLS. False: the handshake failed.
  bool secure(const test::TlsClientOptions& options = {}) {
    tls_ = std::make_unique<test::TlsClient>(descriptor_.get(), options);
    return tls_->connected();
  }
  test::TlsClient& tls() { return *tls_; }
  void close() { descriptor_.reset(); }
  void reset() {
    const linger now{1, 0};
    ::setsockopt(descriptor_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    descriptor_.reset();
  }

  Reply read_reply(bool head_only = false) {
    Reply reply;
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == buffer_.npos) {
      if (!fill()) return reply;
    }
    reply.head = buffer_.substr(0, end + 4);
    buffer_.erase(0, end + 4);
    reply.status = static_cast<unsigned>(std::stoi(reply.head.substr(9, 3)));
    const auto length = reply.field("Content-Length");
    const std::size_t wanted = head_only || length.empty() ? 0 : std::stoull(length);
    while (buffer_.size() < wanted && fill()) {
    }
    reply.complete = buffer_.size() >= wanted;
    reply.body = buffer_.substr(0, wanted);
    buffer_.erase(0, wanted);
    return reply;
  }
  Reply exchange(std::string_view request, bool head_only = false) {
    send(request);
    return read_reply(head_only);
  }
  Reply get(const std::string& target) { return exchange("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n"); }

  /// Up to `size` bytes for a later read_reply().
  bool read_more(std::size_t size) { return fill(size); }

  /// The server ended the connection and sent nothing more.
  bool at_end() { return buffer_.empty() && !fill() && ended_; }
  /// Nothing more to read now and the connection stands.
  bool quiet_for(std::chrono::milliseconds time) {
    pollfd wait{descriptor_.get(), POLLIN, 0};
    return buffer_.empty() && ::poll(&wait, 1, static_cast<int>(time.count())) == 0;
  }

 private:
  bool fill(std::size_t size = 65536) {
    char bytes[65536];
    const auto wanted = std::min(size, sizeof bytes);
    const auto n = tls_ ? tls_->receive(bytes, wanted) : ::recv(descriptor_.get(), bytes, wanted, 0);
    if (n <= 0) {
      ended_ = n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
      return false;
    }
    buffer_.append(bytes, static_cast<std::size_t>(n));
    return true;
  }

  Descriptor descriptor_;
  std::unique_ptr<test::TlsClient> tls_;
  std::string buffer_;
  bool connected_ = false;
  bool ended_ = false;
};

struct TestServer {
  explicit TestServer(ServerOptions options = {}, std::size_t body_budget = 8 << 20) : buffers(body_budget) {
    static const bool quiet = [] {
      if (std::getenv("BERTH_TEST_LOG") == nullptr) spdlog::set_level(spdlog::level::off);
      return true;
    }();
    (void)quiet;
    if (options.listeners.empty()) options.listeners = {{"127.0.0.1", 0, true}};
    if (options.io_threads == 0) options.io_threads = 2;
    server = make_server(std::move(options), handler, buffers, disk, entropy, heartbeat);
    const auto started = server->start();
    REQUIRE(started);
    port = server->ports().front();
  }
  ~TestServer() { server->stop(); }

  Client client() const { return Client(port); }
  bool wait_for_connections(std::size_t count) const {
    for (int i = 0; i < 500; ++i) {
      if (server->connections() == count) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  TestHandler handler;
  registry::BufferPool buffers;
  Pool disk{"disk", 2};
  SystemEntropy entropy;
  std::atomic<std::int64_t> heartbeat{0};
  std::unique_ptr<Server> server;
  std::uint16_t port = 0;
};

inline std::string chunked(std::string_view body, std::size_t chunk) {
  std::string out;
  for (std::size_t at = 0; at < body.size(); at += chunk) {
    const auto piece = body.substr(at, chunk);
    out += fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
  }
  return out + "0\r\n\r\n";
}

}  // namespace berth::server
