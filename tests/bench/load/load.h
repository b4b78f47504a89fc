// What the kinds of load share: a blocking HTTP/1.1 connection to 127.0.0.1, threads, and a line of JSON at the end.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace load {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& why);

inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// A connected socket with TCP_NODELAY that waits for a minute at most, the caller's to close. Dies when there is none to be had.
int connect_to(int port);

struct Answer {
  unsigned status = 0;
  std::string location;
  std::string link;
  std::string body;
};

/// Told of each piece of a body that went over; false cuts the transfer, after which the connection is good for
/// nothing.
using Progress = std::function<bool(std::size_t bytes)>;

class Connection {
 public:
  /// `extra` are header lines that go with every request, each with its CRLF.
  Connection(int port, std::string extra) : port_(port), extra_(std::move(extra)), fd_(connect_to(port)) {}
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Answer send(std::string_view method, std::string_view path, std::string_view type, std::string_view body);
  /// Takes a large body without keeping it. False when it was cut.
  bool pull(std::string_view path, const Progress& progress);
  /// Sends a large body, which is `front` and then `back`. False when it was cut.
  bool put(std::string_view path, std::string_view front, std::string_view back, const Progress& progress);

 private:
  void begin(std::string_view method, std::string_view path, std::string_view type);
  void send_all(std::string_view bytes);
  void fill();
  std::string receive_head();
  Answer receive();

  int port_;
  std::string extra_;
  int fd_;
  std::string request_;
  std::string received_;
};

/// The path and query of a Location, which may be absolute.
std::string path_of(const std::string& location);
/// Dies unless it is that status.
void expect(const Answer& answer, unsigned status, std::string_view what);
/// Where the bytes of a new blob go, once "digest=" is appended.
std::string begin_upload(Connection& connection, const std::string& repository);

void run_clients(int clients, const std::function<void(int)>& work);
/// Sorts. 0 when there are none.
double percentile(std::vector<double>& values, double share);
void report(const char* unit, std::size_t done, double seconds, std::vector<double>& latencies_ms);

// ---- the kinds that have a file of their own ----

/// GETs of one small thing, 500 a second: for a while alone, then beside two clients that pull and two that push.
struct Streams {
  int port = 0;
  double seconds = 0;
  std::string small_path;
  std::string large_path;
  std::string push_to;  ///< a repository, or a path that begins with '/' below which files are PUT
  std::size_t push_bytes = 0;
};
void streams(const Streams& options);

/// New connections over TLS 1.3 with one small GET each.
void handshakes(int port, int clients, double seconds, bool resumed, const std::string& path);

}  // namespace load
