#include "tests/support/http_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <stdexcept>

#include "tests/support/test_authority.h"

namespace berth {
namespace {

int listen_on_loopback(std::uint16_t& port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (descriptor < 0 || ::bind(descriptor, generic, size) != 0 || ::listen(descriptor, 64) != 0 ||
      ::getsockname(descriptor, generic, &size) != 0)
    throw std::runtime_error("no port for a test's HTTP server");
  port = ntohs(address.sin_port);
  return descriptor;
}

}  // namespace

/// A connection, plain or TLS. Blocking; shutdown() of the socket by another thread ends what waits.
class HttpPeer::Stream {
 public:
  Stream(int descriptor, SSL_CTX* context) : descriptor_(descriptor) {
    if (!context) return;
    ssl_.reset(SSL_new(context));
    SSL_set_fd(ssl_.get(), descriptor);
    good_ = SSL_accept(ssl_.get()) == 1;
  }
  bool good() const { return good_; }
  bool read_some(std::string& into) {
    char buffer[16384];
    const auto got = ssl_ ? SSL_read(ssl_.get(), buffer, sizeof buffer) : ::recv(descriptor_, buffer, sizeof buffer, 0);
    if (got > 0) into.append(buffer, static_cast<std::size_t>(got));
    return got > 0;
  }
  bool write_all(const std::string& bytes) {
    std::size_t written = 0;
    while (written < bytes.size()) {
      const auto* from = bytes.data() + written;
      const auto left = bytes.size() - written;
      const auto n =
          ssl_ ? SSL_write(ssl_.get(), from, static_cast<int>(left)) : ::send(descriptor_, from, left, MSG_NOSIGNAL);
      if (n <= 0) return false;
      written += static_cast<std::size_t>(n);
    }
    return true;
  }

 private:
  int descriptor_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, &SSL_free};
  bool good_ = true;
};

HttpPeer::HttpPeer(Handler handler, const TestAuthority* authority) : handler_(std::move(handler)) {
  std::signal(SIGPIPE, SIG_IGN);  // SSL_write knows no MSG_NOSIGNAL
  if (authority) {
    auto* context = SSL_CTX_new(TLS_server_method());
    tls_ = context;
    if (SSL_CTX_use_certificate_chain_file(context, authority->certificate().c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, authority->key().c_str(), SSL_FILETYPE_PEM) != 1)
      throw std::runtime_error("a test's certificate does not load");
  }
  listening_ = listen_on_loopback(port_);
  acceptor_ = std::thread(&HttpPeer::accept_loop, this);
}

HttpPeer::~HttpPeer() {
  stopping_ = true;
  ::shutdown(listening_, SHUT_RDWR);
  acceptor_.join();
  {
    std::lock_guard lock(mutex_);
    for (const int descriptor : open_) ::shutdown(descriptor, SHUT_RDWR);
  }
  for (auto& thread : threads_) thread.join();
  ::close(listening_);
  SSL_CTX_free(static_cast<SSL_CTX*>(tls_));
}

std::string HttpPeer::url(const std::string& path) const {
  return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port_) + path;
}

std::vector<PeerRequest> HttpPeer::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

void HttpPeer::accept_loop() {
  while (!stopping_) {
    const int descriptor = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor < 0) continue;
    ++accepted_;
    std::lock_guard lock(mutex_);
    open_.push_back(descriptor);
    threads_.emplace_back(&HttpPeer::serve, this, descriptor);
  }
}

void HttpPeer::serve(int descriptor) {
  {
    Stream stream(descriptor, static_cast<SSL_CTX*>(tls_));
    std::string buffer;
    bool open = stream.good();
    while (open && !stopping_) {
      std::size_t end = std::string::npos;
      while (open && (end = buffer.find("\r\n\r\n")) == std::string::npos) open = stream.read_some(buffer);
      if (!open) break;
      PeerRequest request;
      request.head = buffer.substr(0, end + 2);
      buffer.erase(0, end + 4);
      request.method = request.head.substr(0, request.head.find(' '));
      const auto from = request.method.size() + 1;
      request.target = request.head.substr(from, request.head.find(' ', from) - from);
      std::size_t length = 0;
      if (const auto at = request.head.find("Content-Length: "); at != std::string::npos)
        length = std::stoul(request.head.substr(at + 16));
      while (open && buffer.size() < length) open = stream.read_some(buffer);
      if (!open) break;
      request.body = buffer.substr(0, length);
      buffer.erase(0, length);
      open = write_reply(stream, answer(request));
    }
  }
  std::lock_guard lock(mutex_);
  open_.erase(std::find(open_.begin(), open_.end(), descriptor));
  ::close(descriptor);
}

PeerReply HttpPeer::answer(const PeerRequest& request) {
  {
    std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  return handler_(request);
}

bool HttpPeer::write_reply(Stream& stream, const PeerReply& reply) {
  const auto until = std::chrono::steady_clock::now() + reply.delay;
  while (!stopping_ && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  if (reply.close_early || stopping_) return false;
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " X\r\n" + reply.headers;
  if (!reply.never_end) head += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n";
  if (!stream.write_all(head + "\r\n" + reply.body)) return false;
  while (reply.never_end && !stopping_)
    if (!stream.write_all(reply.body)) return false;
  return !reply.never_end;
}

std::uint16_t closed_port() {
  std::uint16_t port = 0;
  ::close(listen_on_loopback(port));
  return port;
}

}  // namespace berth
