#include "server/trace_exporter.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <exception>
#include <iterator>
#include <utility>

#include "api/metrics_page.h"
#include "auth/secret_file.h"
#include "base/http_date.h"
#include "base/log.h"
#include "base/metrics.h"

namespace berth::server {
namespace {

using metrics::Counter;
using metrics::EnumFamily;

/// The label `result` of spans.
enum class Fate : std::uint8_t {
  sent,      ///< the collector has it
  dropped,   ///< the queue was full, or berth ended
  failed,    ///< no try succeeded, or the collector refused the batch
  rejected,  ///< the collector took its batch without it
};
std::string_view to_string(Fate fate) {
  switch (fate) {
    case Fate::sent:
      return "sent";
    case Fate::dropped:
      return "dropped";
    case Fate::failed:
      return "failed";
    case Fate::rejected:
      return "rejected";
  }
  return "";
}

/// The label `result` of requests to the collector.
std::string_view to_string(TryResult result) {
  switch (result) {
    case TryResult::taken:
      return "taken";
    case TryResult::again:
      return "again";
    case TryResult::refused:
      return "refused";
  }
  return "";
}

const EnumFamily<Counter, Fate, 4> kSpans("trace_spans_total", "Spans that were recorded, by what became of them.",
                                          "result", to_string);
const EnumFamily<Counter, TryResult, 3> kTries("trace_requests_total",
                                               "Requests that took spans to the collector, by its answer.", "result",
                                               to_string);
metrics::Gauge& queued = metrics::Family<metrics::Gauge>("trace_queue_spans", "Spans that wait to be sent.").with();

constexpr std::size_t kAnswerBytesMax = 64 << 10;
constexpr std::size_t kHeadersMax = 32;

std::string_view trimmed(std::string_view text) {
  const std::size_t from = text.find_first_not_of(" \t\r");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

bool is_header_name(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";  // RFC 9110 §5.1: a token
  return !name.empty() && std::all_of(name.begin(), name.end(), [kMarks](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

/// What the messages of a request are made of is berth's alone.
bool is_ours(std::string_view name) {
  constexpr std::array<std::string_view, 6> kOurs = {"Content-Type", "Content-Encoding", "Content-Length",
                                                     "Host",         "Transfer-Encoding", "Connection"};
  return std::any_of(kOurs.begin(), kOurs.end(), [name](std::string_view ours) { return same_word(name, ours); });
}

/// OTLP/HTTP, "Failures": these may pass, every other one is for good.
bool may_pass(unsigned status) { return status == 429 || (status >= 502 && status <= 504); }

/// How long the collector wants to be left alone; a date is meant by its own clock, when it says what that shows.
std::chrono::seconds retry_after(const HttpResponse& answer) {
  const std::string_view text = answer.header("retry-after");
  if (const auto until = parse_http_date(text)) {
    const auto now = parse_http_date(answer.header("date")).value_or(SystemClock().wall());
    return std::max(std::chrono::ceil<std::chrono::seconds>(*until - now), std::chrono::seconds(0));
  }
  unsigned seconds = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  return failed == std::errc{} && end == text.data() + text.size() ? std::chrono::seconds(seconds)
                                                                   : std::chrono::seconds(0);
}

/// As it goes to the collector.
Result<std::string> make_body(const TraceExporterOptions& options,
                              const std::vector<std::unique_ptr<trace::SpanRecord>>& batch) {
  std::string body = trace::encode_otlp(options.resource, batch);
  if (!options.gzip) return body;
  return api::gzip(body);
}

Result<HttpResponse> post(HttpClient& http, const TraceExporterOptions& options, const std::string& body) {
  HttpRequest request;
  request.url = options.url;
  if (!options.headers_file.empty()) {
    auto headers = read_headers_file(options.headers_file);
    if (!headers) return make_error(ErrorCode::unavailable, "the headers for the collector", headers.error().message);
    request.headers = *std::move(headers);
  }
  request.headers.emplace_back("Content-Type", "application/json");
  if (options.gzip) request.headers.emplace_back("Content-Encoding", "gzip");
  request.body = body;
  request.timeout = request.connect_timeout = options.timeout;
  request.response_bytes_max = kAnswerBytesMax;
  request.allow_http = true;  // the operator wrote the address
  request.reach = Reach::anywhere;
  request.ca_file = options.ca_file;

  asio::io_context io(1);
  Result<HttpResponse> answer = make_error(ErrorCode::aborted, "berth is stopping");
  auto done = [&answer](std::exception_ptr stray, Result<HttpResponse> result) {
    ignore(answer);
    if (!stray) answer = std::move(result);
  };
  asio::co_spawn(io, http.post(std::move(request)), done);
  io.run();
  return answer;
}

}  // namespace

Result<HttpHeaders> read_headers_file(const std::string& path) {
  const auto refuse = [&path](std::size_t line, std::string_view why) {
    return make_error(ErrorCode::request_invalid, fmt::format("{}:{}: {}", path, line, why));
  };
  BERTH_TRY(const std::string text, auth::read_secret_file(path));
  HttpHeaders headers;
  std::string_view rest = text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = trimmed(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t colon = line.find(':');
    const std::string_view name = line.substr(0, colon);
    if (colon == std::string_view::npos || !is_header_name(name)) return refuse(number, "is no line `Name: value`");
    if (is_ours(name)) return refuse(number, "names a header that berth sets itself");
    const std::string_view value = trimmed(line.substr(colon + 1));
    const bool printable = std::none_of(value.begin(), value.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (!printable) return refuse(number, "holds a control character");
    if (headers.size() == kHeadersMax) return refuse(number, "is one header too many");
    headers.emplace_back(name, value);
  }
  return headers;
}

std::string try_collector(const TraceExporterOptions& options) {
  const auto body = make_body(options, {});
  if (!body) return body.error().message;
  HttpClient http(HttpClient::Options{.in_flight_max = 1});
  const auto answer = post(http, options, *body);
  if (!answer) return fmt::format("{}: {}", answer.error().message, answer.error().log_detail);
  if (answer->status >= 200 && answer->status < 300) return {};
  return fmt::format("the collector answers with status {}", answer->status);
}

TraceExporter::TraceExporter(TraceExporterOptions options, Entropy& entropy)
    : options_(std::move(options)), entropy_(entropy), http_(HttpClient::Options{.in_flight_max = 1}) {
  thread_ = std::thread(&TraceExporter::run, this);
}

TraceExporter::~TraceExporter() { stop(); }

void TraceExporter::take(std::unique_ptr<trace::SpanRecord> span) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (!stopping_ && queue_.size() < options_.queue_max) {
      queue_.push_back(std::move(span));
      queued.set(static_cast<std::int64_t>(queue_.size()));
      // The first begins the wait for company, a full batch ends it.
      if (queue_.size() == 1 || queue_.size() == options_.batch_max) wake_.notify_one();
      return;
    }
  } catch (const std::bad_alloc&) {
  }
  kSpans[Fate::dropped].add();
}

void TraceExporter::stop() {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
    ended_.wait_for(lock, options_.stop_max, [this] { return done_; });
  }
  http_.stop();  // what is under way ends now, and what follows at once
  if (thread_.joinable()) thread_.join();
}

void TraceExporter::run() {
  for (Batch batch = wait_for_batch(); !batch.empty(); batch = wait_for_batch()) {
    try {
      deliver(batch);
    } catch (const std::exception&) {  // out of memory, most likely
      kSpans[Fate::failed].add(batch.size());
    }
  }
  const std::lock_guard lock(mutex_);
  done_ = true;
  ended_.notify_one();
}

/// Empty: berth ends, and nothing is left.
TraceExporter::Batch TraceExporter::wait_for_batch() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  wake_.wait_for(lock, options_.interval, [this] { return stopping_ || queue_.size() >= options_.batch_max; });
  const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), options_.batch_max));
  Batch batch(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  queued.set(static_cast<std::int64_t>(queue_.size()));
  return batch;
}

/// False when berth ends: then nothing is waited for any more.
bool TraceExporter::pause(std::chrono::milliseconds length) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, length, [this] { return stopping_; });
}

void TraceExporter::deliver(const Batch& batch) {
  const auto body = make_body(options_, batch);
  if (!body) return kSpans[Fate::failed].add(batch.size());
  const Verdict verdict = send(*body);
  const bool taken = verdict.what == TryResult::taken;
  const auto rejected = taken ? std::min<std::uint64_t>(verdict.rejected, batch.size()) : 0;
  kSpans[Fate::rejected].add(rejected);
  kSpans[taken ? Fate::sent : Fate::failed].add(batch.size() - rejected);
  note(!taken || rejected > 0, verdict.problem);
}

/// Until it is taken, refused, or was tried often enough.
TraceExporter::Verdict TraceExporter::send(const std::string& body) {
  auto wait = options_.pause_first;
  for (unsigned tries = 1;; ++tries) {
    Verdict verdict = try_once(body);
    kTries[verdict.what].add();
    if (verdict.what != TryResult::again || tries >= options_.tries_max) return verdict;
    // Not all servers at the same moment: up to half as much again.
    std::uint8_t chance = 0;
    entropy_.fill(std::as_writable_bytes(std::span(&chance, 1)));
    const auto asked = std::min(verdict.wait_at_least, options_.asked_pause_max);
    const auto length = std::max(std::min(wait, options_.pause_max), asked);
    if (!pause(length + length * chance / 512)) return verdict;
    wait *= 2;
  }
}

TraceExporter::Verdict TraceExporter::try_once(const std::string& body) {
  const auto answer = post(http_, options_, body);
  // A server that goes away in the middle may be back for the next try. What cannot be sent as it is never can.
  if (!answer) {
    const bool for_good = answer.failed_with(ErrorCode::request_invalid);
    return {for_good ? TryResult::refused : TryResult::again, 0, {},
            fmt::format("{}: {}", answer.error().message, answer.error().log_detail)};
  }
  if (answer->status >= 200 && answer->status < 300) {
    auto partial = trace::read_otlp_answer(answer->body);
    return {TryResult::taken, partial.rejected, {}, std::move(partial.message)};
  }
  return {may_pass(answer->status) ? TryResult::again : TryResult::refused, 0, retry_after(*answer),
          fmt::format("the collector answers with status {}", answer->status)};
}

/// Tells the log when it begins and when it ends, not every time.
void TraceExporter::note(bool trouble, std::string_view problem) {
  if (trouble && !in_trouble_) {
    log::warning("spans do not reach the collector", {{"collector", options_.url}, {"problem", problem}});
  } else if (!trouble && in_trouble_) {
    log::info("spans reach the collector again", {{"collector", options_.url}});
  }
  in_trouble_ = trouble;
}

}  // namespace berth::server
