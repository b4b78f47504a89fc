#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "tests/bench/load/load.h"

namespace load {
namespace {

constexpr std::size_t kPieceBytes = 256 << 10;

std::string field(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at)) {
    at += 2;
    if (head.size() - at <= name.size() || head[at + name.size()] != ':') continue;
    if (strncasecmp(head.data() + at, name.data(), name.size()) != 0) continue;
    std::size_t begin = at + name.size() + 1;
    while (begin < head.size() && head[begin] == ' ') ++begin;
    return std::string(head.substr(begin, head.find("\r\n", begin) - begin));
  }
  return {};
}

unsigned status_of(const std::string& head) {
  return static_cast<unsigned>(std::strtoul(head.c_str() + 9, nullptr, 10));
}

}  // namespace

void die(const std::string& why) {
  std::fprintf(stderr, "load: %s\n", why.c_str());
  std::_Exit(1);  // the other clients are in the middle of something
}

int connect_to(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("cannot connect");
  const timeval patience{.tv_sec = 60, .tv_usec = 0};  // a server that says nothing ends the load, not the evening
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

Connection::~Connection() { ::close(fd_); }

void Connection::begin(std::string_view method, std::string_view path, std::string_view type) {
  request_.clear();
  request_.append(method)
      .append(" ")
      .append(path)
      .append(" HTTP/1.1\r\nHost: 127.0.0.1:")
      .append(std::to_string(port_));
  request_.append("\r\n").append(extra_);
  if (!type.empty()) request_.append("Content-Type: ").append(type).append("\r\n");
}

void Connection::send_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) die("the connection broke while sending");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

Answer Connection::send(std::string_view method, std::string_view path, std::string_view type, std::string_view body) {
  begin(method, path, type);
  if (method != "GET") request_.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  request_.append("\r\n").append(body);
  send_all(request_);
  return receive();
}

bool Connection::pull(std::string_view path, const Progress& progress) {
  begin("GET", path, "");
  send_all(request_.append("\r\n"));
  const std::string head = receive_head();
  if (status_of(head) != 200) die("pull: " + head.substr(0, 100));
  std::size_t left = std::strtoull(field(head, "Content-Length").c_str(), nullptr, 10);
  left -= std::min(left, received_.size());
  received_.clear();
  const auto piece = std::make_unique<char[]>(kPieceBytes);
  while (left > 0) {
    const auto n = ::recv(fd_, piece.get(), std::min(left, kPieceBytes), 0);
    if (n <= 0) die("the connection broke while receiving");
    left -= static_cast<std::size_t>(n);
    if (!progress(static_cast<std::size_t>(n))) return false;
  }
  return true;
}

bool Connection::put(std::string_view path, std::string_view front, std::string_view back, const Progress& progress) {
  begin("PUT", path, "application/octet-stream");
  request_.append("Content-Length: ").append(std::to_string(front.size() + back.size())).append("\r\n\r\n");
  send_all(request_);
  for (std::string_view part : {front, back}) {
    while (!part.empty()) {
      const std::string_view piece = part.substr(0, kPieceBytes);
      send_all(piece);
      part.remove_prefix(piece.size());
      if (!progress(piece.size())) return false;
    }
  }
  const Answer answer = receive();
  if (answer.status != 201 && answer.status != 204) expect(answer, 201, "PUT of a large blob");
  return true;
}

void Connection::fill() {
  char piece[64 << 10];
  const auto n = ::recv(fd_, piece, sizeof piece, 0);
  if (n <= 0) die("the connection broke while receiving");
  received_.append(piece, static_cast<std::size_t>(n));
}

std::string Connection::receive_head() {
  std::size_t end;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) fill();
  std::string head = received_.substr(0, end + 2);
  received_.erase(0, end + 4);
  return head;
}

Answer Connection::receive() {
  const std::string head = receive_head();
  Answer answer;
  answer.status = status_of(head);
  answer.location = field(head, "Location");
  answer.link = field(head, "Link");
  if (answer.status == 204) return answer;
  if (field(head, "Transfer-Encoding") == "chunked") {
    for (;;) {
      std::size_t line;
      while ((line = received_.find("\r\n")) == std::string::npos) fill();
      const std::size_t size = std::strtoul(received_.c_str(), nullptr, 16);
      while (received_.size() < line + 2 + size + 2) fill();
      answer.body.append(received_, line + 2, size);
      received_.erase(0, line + 2 + size + 2);
      if (size == 0) return answer;
    }
  }
  const std::size_t size = std::strtoul(field(head, "Content-Length").c_str(), nullptr, 10);
  while (received_.size() < size) fill();
  answer.body = received_.substr(0, size);
  received_.erase(0, size);
  return answer;
}

std::string path_of(const std::string& location) {
  const std::size_t scheme = location.find("://");
  return scheme == std::string::npos ? location : location.substr(location.find('/', scheme + 3));
}

void expect(const Answer& answer, unsigned status, std::string_view what) {
  if (answer.status != status) {
    die(std::string(what) + ": " + std::to_string(answer.status) + " " + answer.body.substr(0, 300));
  }
}

std::string begin_upload(Connection& connection, const std::string& repository) {
  const Answer started = connection.send("POST", "/v2/" + repository + "/blobs/uploads/", "", "");
  expect(started, 202, "POST of an upload");
  const std::string path = path_of(started.location);
  return path + (path.find('?') == std::string::npos ? '?' : '&');
}

void run_clients(int clients, const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int n = 0; n < clients; ++n) threads.emplace_back(work, n);
  for (std::thread& thread : threads) thread.join();
}

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size())))];
}

void report(const char* unit, std::size_t done, double seconds, std::vector<double>& latencies_ms) {
  std::printf("{\"%s\": %zu, \"seconds\": %.4f, \"per_second\": %.1f, \"p50_ms\": %.4f, \"p99_ms\": %.4f}\n", unit,
              done, seconds, static_cast<double>(done) / seconds, percentile(latencies_ms, 0.5),
              percentile(latencies_ms, 0.99));
}

}  // namespace load
