#include "base/http_client.h"

#include <curl/curl.h>
#include <signal.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <mutex>
#include <thread>

#include "base/completion.h"
#include "base/shared_library.h"

namespace berth {
namespace {

using Waiting = std::shared_ptr<Completion<HttpResponse>>;

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool is_header_name(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";  // RFC 9110 5.1: a token
  return !text.empty() && std::all_of(text.begin(), text.end(), [kMarks](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

/// What libcurl would send as it is, and must not.
Result<void> check(const HttpRequest& request) {
  const auto refuse = [&request](std::string why) {
    return make_error(ErrorCode::request_invalid, std::move(why), request.url);
  };
  if (request.method != "GET" && request.method != "POST") return refuse("only GET and POST are sent");
  if (request.method == "GET" && !request.body.empty()) return refuse("a GET has no body");
  if (request.url.empty() || has_control_character(request.url)) return refuse("the URL is not one");
  if (!request.url.starts_with("https://") && !(request.allow_http && request.url.starts_with("http://")))
    return refuse(request.allow_http ? "the URL is neither https:// nor http://" : "the URL is not https://");
  for (const auto& [name, value] : request.headers)
    if (!is_header_name(name) || has_control_character(value)) return refuse("a header holds what none may hold");
  if (request.timeout.count() <= 0 || request.connect_timeout.count() <= 0) return refuse("a time-out is not positive");
  return {};
}

/// One request, its curl handle and what has come so far. Lives on the loop's thread once it was queued.
struct Transfer {
  HttpRequest request;
  Waiting waiting;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  HttpResponse response;
  std::size_t header_bytes = 0;
  bool too_large = false;
  bool refused_address = false;
  std::array<char, CURL_ERROR_SIZE> detail{};

  Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() {
    if (easy) curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }
};

std::size_t take_body(char* data, std::size_t one, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t size = one * count;
  auto& body = transfer.response.body;
  if (size > transfer.request.response_bytes_max - body.size()) return transfer.too_large = true, CURL_WRITEFUNC_ERROR;
  body.append(data, size);
  return size;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto from = text.find_first_not_of(kBlank);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlank) - from + 1);
}

std::size_t take_header(char* data, std::size_t one, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, one * count);
  transfer.header_bytes += line.size();
  if (transfer.header_bytes > kHttpHeaderBytesMax) return transfer.too_large = true, CURL_WRITEFUNC_ERROR;
  if (line.starts_with("HTTP/")) {  // A new answer begins: after a redirect, or after 100 Continue.
    transfer.response.headers.clear();
    return line.size();
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(trim(line.substr(0, colon)));
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  transfer.response.headers.emplace_back(std::move(name), trim(line.substr(colon + 1)));
  return line.size();
}

/// Called with the address that the name resolved to: the last moment before a packet leaves.
curl_socket_t open_socket(void* user, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (reach_needed(&address->addr, static_cast<socklen_t>(address->addrlen)) > transfer.request.reach) {
    transfer.refused_address = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/// Called when a connection is ready, also one that a request with a longer reach left open.
int before_request(void* user, char* address, char*, int, int) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (reach_needed(std::string_view(address)) <= transfer.request.reach) return CURL_PREREQFUNC_OK;
  transfer.refused_address = true;
  return CURL_PREREQFUNC_ABORT;
}

/// False when libcurl does not know an option or has no memory.
bool prepare(Transfer& transfer, const std::string& user_agent) {
  const HttpRequest& request = transfer.request;
  transfer.easy = curl_easy_init();
  if (!transfer.easy) return false;
  bool good = true;
  const auto set = [&transfer, &good](CURLoption option, auto value) {
    good = good && curl_easy_setopt(transfer.easy, option, value) == CURLE_OK;
  };
  const char* protocols = request.allow_http ? "http,https" : "https";
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, protocols);
  set(CURLOPT_REDIR_PROTOCOLS_STR, protocols);
  set(CURLOPT_FOLLOWLOCATION, request.redirects_max > 0 ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, static_cast<long>(request.redirects_max));
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_NOSIGNAL, 1L);
  // A name server that does not answer would hold up the whole loop when its transfer ends.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout.count()));
  set(CURLOPT_MAXAGE_CONN, 60L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!request.ca_file.empty()) {
    set(CURLOPT_CAINFO, request.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
    set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
  }
  set(CURLOPT_USERAGENT, user_agent.c_str());
  set(CURLOPT_ERRORBUFFER, transfer.detail.data());
  set(CURLOPT_PRIVATE, &transfer);
  set(CURLOPT_WRITEFUNCTION, &take_body);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_HEADERFUNCTION, &take_header);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  set(CURLOPT_OPENSOCKETDATA, &transfer);
  set(CURLOPT_PREREQFUNCTION, &before_request);
  set(CURLOPT_PREREQDATA, &transfer);
  // A body of more than a MiB would make libcurl wait a second for "100 Continue".
  transfer.headers = curl_slist_append(nullptr, "Expect:");
  for (const auto& [name, value] : request.headers) {
    // libcurl takes "Name:" as the wish to send none, and "Name;" as an empty one.
    const std::string line = value.empty() ? name + ";" : name + ": " + value;
    auto* longer = curl_slist_append(transfer.headers, line.c_str());
    good = good && longer != nullptr;
    if (longer) transfer.headers = longer;
  }
  set(CURLOPT_HTTPHEADER, transfer.headers);
  if (request.method == "POST") {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_POSTFIELDS, request.body.data());
  }
  return good;
}

Error explain(const Transfer& transfer, CURLcode code) {
  std::string why = transfer.detail[0] != '\0' ? transfer.detail.data() : curl_easy_strerror(code);
  if (transfer.refused_address) {
    return make_error(ErrorCode::denied, "the address may not be asked",
                      transfer.request.url + ": its address is beyond what this request may reach");
  }
  if (transfer.too_large) {
    const auto limit = fmt::format("more than {} bytes of body or {} of headers", transfer.request.response_bytes_max,
                                   kHttpHeaderBytesMax);
    return make_error(ErrorCode::unavailable, "the answer is too large", transfer.request.url + ": " + limit);
  }
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_LOGIN_DENIED:  // a user name in the URL
      return make_error(ErrorCode::request_invalid, "the URL is not one", transfer.request.url + ": " + why);
    case CURLE_OPERATION_TIMEDOUT:
      return make_error(ErrorCode::unavailable, "no answer in time", transfer.request.url + ": " + why);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR:
      return make_error(ErrorCode::unavailable, "the other side is not trusted", transfer.request.url + ": " + why);
    default:
      return make_error(ErrorCode::unavailable, "no answer", transfer.request.url + ": " + why);
  }
}

/// "registry.example.com" and 5000 of "https://registry.example.com:5000/v2/".
void set_server(trace::Span& span, std::string_view url) {
  const bool tls = url.starts_with("https://");
  std::string_view authority = url.substr(url.find("//") + 2);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  const std::size_t colon = authority.find(':', authority.starts_with('[') ? authority.find(']') : 0);
  int port = tls ? 443 : 80;
  if (colon != std::string_view::npos) {
    const std::string_view digits = authority.substr(colon + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), port);
  }
  span.set("server.address", authority.substr(0, colon));
  span.set("server.port", port);
}

/// As OpenTelemetry's conventions for HTTP clients have it. A query may hold what nobody else should read.
trace::Span begin_span(const HttpRequest& request) {
  trace::Span span(request.trace, trace::Kind::client, request.method);
  if (!span) return span;
  span.set("http.request.method", request.method);
  span.set("url.full", std::string_view(request.url).substr(0, request.url.find_first_of("?#")));
  set_server(span, request.url);
  return span;
}

void end_span(trace::Span& span, const Result<HttpResponse>& answer) {
  if (!span) return;
  if (answer) span.set("http.response.status_code", answer->status);
  if (!answer) span.fail(to_string(answer.error().code));
  else if (answer->status >= 400) span.fail(std::to_string(answer->status));
  span.end();
}

Error stopping() { return make_error(ErrorCode::aborted, "berth is stopping"); }

}  // namespace

std::string_view HttpResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

/// The thread, its curl handles, and the queue into it. Coroutines that were cancelled may outlast the client by a
/// moment, so they hold a share of it.
class HttpClient::Loop {
 public:
  explicit Loop(Options options) : options_(std::move(options)) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop() {
    stop();
    if (multi_) curl_multi_cleanup(multi_);
  }

  void start(HttpRequest request, Waiting waiting) {
    auto transfer = std::make_unique<Transfer>();
    transfer->request = std::move(request);
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return waiting->complete(stopping());
      if (in_flight_ >= options_.in_flight_max) {
        return waiting->complete(
            make_error(ErrorCode::unavailable, "too many requests to others are under way", transfer->request.url));
      }
      transfer->waiting = std::move(waiting);
      ++in_flight_;
      inbox_.push_back(std::move(transfer));
      if (!thread_.joinable()) launch();
      if (multi_) curl_multi_wakeup(multi_);
    }
  }

  void wake() {
    std::lock_guard lock(mutex_);
    if (!stopped_ && multi_) curl_multi_wakeup(multi_);
  }

  std::size_t in_flight() const {
    std::lock_guard lock(mutex_);
    return in_flight_;
  }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      if (multi_) curl_multi_wakeup(multi_);
    }
    std::lock_guard once(join_mutex_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  static constexpr int kPollMillisecondsMax = 1000;

  /// With the first request: most registries never ask anybody, and libcurl with all it stands on takes memory.
  void launch() {
    // Signals belong to the thread that waits for them, and a peer that closes must not end the process.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread(&Loop::run, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void run() {
    static const CURLcode kReady = libcurl().load().empty() ? curl_global_init(CURL_GLOBAL_DEFAULT) : CURLE_FAILED_INIT;
    CURLM* multi = kReady == CURLE_OK ? curl_multi_init() : nullptr;
    if (multi) curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 16L);
    {
      std::lock_guard lock(mutex_);
      multi_ = multi;
      if (!multi) stopped_ = true;
    }
    if (!multi) {
      take_inbox();
      while (!transfers_.empty()) finish(transfers_.size() - 1, stopping());
      return;
    }
    while (take_inbox()) {
      drop_cancelled();
      int running = 0;
      curl_multi_perform(multi_, &running);
      finish_done();
      curl_multi_poll(multi_, nullptr, 0, kPollMillisecondsMax, nullptr);
    }
    while (!transfers_.empty()) finish(transfers_.size() - 1, stopping());
  }

  /// False when the loop shall end.
  bool take_inbox() {
    std::vector<std::unique_ptr<Transfer>> fresh;
    bool go_on = false;
    {
      std::lock_guard lock(mutex_);
      fresh.swap(inbox_);
      go_on = !stopped_;
    }
    for (auto& transfer : fresh) {
      transfers_.push_back(std::move(transfer));
      Transfer& last = *transfers_.back();
      const bool added = multi_ && !last.waiting->done() && prepare(last, options_.user_agent) &&
                         curl_multi_add_handle(multi_, last.easy) == CURLM_OK;
      if (!added) finish(transfers_.size() - 1, make_error(ErrorCode::internal, "libcurl refuses a request"));
    }
    return go_on;
  }

  void drop_cancelled() {
    for (std::size_t i = transfers_.size(); i-- > 0;)
      if (transfers_[i]->waiting->done()) finish(i, stopping());
  }

  void finish_done() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      Transfer* done = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &done);
      const auto at = std::find_if(transfers_.begin(), transfers_.end(), [done](auto& t) { return t.get() == done; });
      const auto index = static_cast<std::size_t>(at - transfers_.begin());
      if (code != CURLE_OK) {
        finish(index, explain(*done, code));
        continue;
      }
      long status = 0;
      curl_easy_getinfo(done->easy, CURLINFO_RESPONSE_CODE, &status);
      done->response.status = static_cast<unsigned>(status);
      finish(index, std::move(done->response));
    }
  }

  void finish(std::size_t index, Result<HttpResponse> answer) {
    auto transfer = std::move(transfers_[index]);
    transfers_.erase(transfers_.begin() + static_cast<std::ptrdiff_t>(index));
    if (transfer->easy) curl_multi_remove_handle(multi_, transfer->easy);
    Waiting waiting = std::move(transfer->waiting);
    transfer.reset();
    {
      std::lock_guard lock(mutex_);
      --in_flight_;
    }
    waiting->complete(std::move(answer));
  }

  const Options options_;
  CURLM* multi_ = nullptr;  // set once, by the loop's thread; used by it alone, but for curl_multi_wakeup()
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Transfer>> inbox_;
  std::size_t in_flight_ = 0;
  bool stopped_ = false;
  std::vector<std::unique_ptr<Transfer>> transfers_;  // the loop's thread alone
  std::mutex join_mutex_;
  std::thread thread_;  // made with mutex_ held, unless stopped
};

HttpClient::HttpClient() : HttpClient(Options{}) {}
HttpClient::HttpClient(Options options) : loop_(std::make_shared<Loop>(std::move(options))) {}
HttpClient::~HttpClient() { stop(); }
void HttpClient::stop() { loop_->stop(); }
std::size_t HttpClient::in_flight() const { return loop_->in_flight(); }

Task<HttpResponse> HttpClient::send(HttpRequest request) {
  std::shared_ptr<Loop> loop = loop_;
  BERTH_CO_CHECK(check(request));
  trace::Span span = begin_span(request);
  for (auto& header : span.below().headers()) request.headers.push_back(std::move(header));
  auto start = [loop = std::move(loop), request = std::move(request)](Waiting waiting) mutable {
    std::weak_ptr<Loop> weak = loop;
    auto wake = [weak] {
      if (auto still = weak.lock()) still->wake();
    };
    waiting->on_cancel(std::move(wake));
    loop->start(std::move(request), std::move(waiting));
  };
  auto answer = co_await completion_of<HttpResponse>(std::move(start));
  end_span(span, answer);
  co_return answer;
}

Task<HttpResponse> HttpClient::get(HttpRequest request) {
  request.method = "GET";
  return send(std::move(request));
}

Task<HttpResponse> HttpClient::post(HttpRequest request) {
  request.method = "POST";
  return send(std::move(request));
}

}  // namespace berth
