#include "tests/protocol/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>

namespace berth::test {

std::string_view Reply::header(std::string_view name) const {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  for (const auto& [key, value] : headers) {
    if (std::equal(key.begin(), key.end(), name.begin(), name.end(), same)) return value;
  }
  return {};
}

Connection::Connection(std::uint16_t port, bool tls) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(socket_);
    socket_ = -1;
  }
  if (tls && socket_ >= 0) tls_ = std::make_unique<TlsClient>(socket_, TlsClientOptions{});
}

Connection::~Connection() {
  if (socket_ >= 0) ::close(socket_);
}

bool Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = tls_ ? tls_->send(bytes) : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void Connection::finish_sending() {
  if (tls_) tls_->say_goodbye();
  ::shutdown(socket_, SHUT_WR);
}

Connection::Read Connection::read_some(std::chrono::steady_clock::time_point until) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  pollfd wait{socket_, POLLIN, 0};
  const bool waits = !tls_ || !tls_->holds_input();
  if (left.count() <= 0 || (waits && ::poll(&wait, 1, static_cast<int>(left.count())) <= 0)) return Read::timeout;
  std::array<char, 65536> buffer;
  const auto got = tls_ ? tls_->receive_once(buffer.data(), buffer.size())
                        : ::recv(socket_, buffer.data(), buffer.size(), 0);
  if (got == TlsClient::kAgain) return read_some(until);
  if (got <= 0) return Read::end;  // a reset ends it as well
  input_.append(buffer.data(), static_cast<std::size_t>(got));
  return Read::bytes;
}

std::optional<Reply> Connection::read(bool head_request, std::chrono::milliseconds longest) {
  const auto until = std::chrono::steady_clock::now() + longest;
  std::size_t end = 0;
  while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
    if (read_some(until) != Read::bytes) return std::nullopt;
  }
  Reply reply;
  std::string_view head = std::string_view(input_).substr(0, end);
  const auto next_line = [&head] {
    const std::size_t at = head.find("\r\n");
    const std::string_view line = head.substr(0, at);
    head = at == std::string_view::npos ? std::string_view{} : head.substr(at + 2);
    return line;
  };
  reply.status_line = next_line();
  while (!head.empty()) {
    const std::string_view line = next_line();
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos) return std::nullopt;
    reply.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  const std::string status = reply.status_line.substr(0, 12);
  const bool bodiless =
      head_request || status.ends_with("204") || status.ends_with("304") || status.starts_with("HTTP/1.1 1");
  const std::string length(bodiless ? "0" : reply.header("Content-Length"));
  // berth always says how long a body is; a reply that does not is cut off by this test's patience.
  const std::size_t size = length.empty() ? std::string::npos : std::strtoull(length.c_str(), nullptr, 10);
  while (input_.size() - end - 4 < size) {
    if (read_some(until) != Read::bytes) return std::nullopt;
  }
  reply.body = input_.substr(end + 4, size);
  input_.erase(0, end + 4 + size);
  return reply;
}

bool Connection::read_end(std::chrono::milliseconds longest) {
  const auto until = std::chrono::steady_clock::now() + longest;
  return input_.empty() && read_some(until) == Read::end;
}

bool Connection::is_silent(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  return input_.empty() && read_some(until) == Read::timeout;
}

}  // namespace berth::test
