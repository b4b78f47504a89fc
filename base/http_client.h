// Outbound HTTP: every request berth makes to somebody else goes through here.
//
// One thread drives all transfers (libcurl's multi interface) and coroutines wait for their answer on their own. All is
// bounded: the transfers in flight, the time of each from name to last byte, the size of what comes back. https alone
// unless asked, no redirects unless asked, and never an address beyond the reach that the caller allows: the address is
// checked as the socket opens, after the name was resolved, and again before each request on a connection that was
// kept. Proxies of the environment are not used: they would make that check worthless.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/reach.h"
#include "base/span.h"
#include "base/task.h"

namespace berth {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";  ///< GET or POST
  std::string url;             ///< without user name and password
  HttpHeaders headers = {};    ///< to be sent; on a redirect to another host Authorization stays behind
  std::string body = {};       ///< of a POST
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(5);
  std::chrono::milliseconds timeout = std::chrono::seconds(10);  ///< for the whole exchange, redirects included
  std::size_t response_bytes_max = 1 << 20;
  unsigned redirects_max = 0;  ///< 0: an answer 3xx is given to the caller
  bool allow_http = false;     ///< else https alone, in redirects too
  std::string ca_file = {};    ///< PEM; trusted instead of the system's roots. Read for each new connection
  Reach reach = Reach::internet;
  trace::Parent trace = {};  ///< what it is asked for: gets a span of the request, and the other side hears of the trace
};

struct HttpResponse {
  unsigned status = 0;
  HttpHeaders headers;  ///< names in lower case; of the last answer when there were redirects
  std::string body;     ///< whole; as sent, no content encoding is asked for

  /// The first value of a header, empty without it. `name` in lower case.
  std::string_view header(std::string_view name) const;
};

inline constexpr std::size_t kHttpHeaderBytesMax = 64 << 10;

/// Thread-safe. Its end gives every request that is under way ErrorCode::aborted; the contexts of the coroutines that
/// wait must still be there then.
class HttpClient {
 public:
  struct Options {
    std::size_t in_flight_max = 64;  ///< more are refused with ErrorCode::unavailable
    std::string user_agent = "berth";
  };

  HttpClient();
  explicit HttpClient(Options options);
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  /// Any status is an answer. Errors: request_invalid (the request cannot be sent as it is), denied (the address is
  /// beyond the reach), unavailable (no answer: down, too late, too large, not trusted, too much in flight), aborted
  /// (cancelled, or the client ends). The message names no address; `log_detail` says what happened.
  Task<HttpResponse> send(HttpRequest request);
  /// `request` with the method GET.
  Task<HttpResponse> get(HttpRequest request);
  /// `request` with the method POST. Content-Type is one of its headers.
  Task<HttpResponse> post(HttpRequest request);

  std::size_t in_flight() const;
  /// Answers whatever is under way with ErrorCode::aborted and refuses what comes. Idempotent.
  void stop();

 private:
  class Loop;
  std::shared_ptr<Loop> loop_;
};

}  // namespace berth
