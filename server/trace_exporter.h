// Sends spans to a collector: OTLP over HTTP, in JSON.
//
// How it works. Spans that end are put into a queue with a limit. A thread takes them in batches, when there are enough
// or the first has waited long enough, and sends each batch until it is taken, refused, or tried often enough. While a
// collector is slow or away the queue fills and what comes then is dropped and counted: nobody but this thread ever
// waits for it. Requests go through an HTTP client of its own, so that a collector that hangs takes no place from
// others.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/env.h"
#include "base/http_client.h"
#include "base/otlp.h"
#include "base/span.h"

namespace berth::server {

struct TraceExporterOptions {
  std::string url;           ///< with its path, /v1/traces
  std::string headers_file;  ///< `Name: value` lines, sent with each batch; read for each. Empty: none
  std::string ca_file;       ///< PEM, instead of the system's roots
  bool gzip = false;
  std::size_t queue_max = 2048;  ///< spans that wait; more are dropped
  std::size_t batch_max = 512;
  std::chrono::milliseconds interval = std::chrono::seconds(5);  ///< the longest that a span waits for company
  std::chrono::milliseconds timeout = std::chrono::seconds(10);  ///< of one request
  unsigned tries_max = 5;                                        ///< of one batch
  std::chrono::milliseconds pause_first = std::chrono::seconds(1);  ///< before the second try; doubles with each
  std::chrono::milliseconds pause_max = std::chrono::seconds(30);
  std::chrono::milliseconds asked_pause_max = std::chrono::minutes(5);  ///< of a Retry-After
  std::chrono::milliseconds stop_max = std::chrono::seconds(3);     ///< how long stop() waits for what is queued
  trace::Resource resource;
};

/// The headers of such a file: empty lines and those that begin with '#' say nothing. Blocks on the disk. Errors:
/// unavailable (it cannot be read), request_invalid (a line is none, or names a header that berth sets itself).
Result<HttpHeaders> read_headers_file(const std::string& path);

/// Sends the collector a batch without spans, once. Why it did not take that; empty: it did. Blocks.
std::string try_collector(const TraceExporterOptions& options);

enum class TryResult : std::uint8_t {
  taken,
  again,    ///< not now: the collector is away or busy
  refused,  ///< not in this form, ever
};

/// Thread-safe.
class TraceExporter final : public trace::SpanSink {
 public:
  /// `entropy` outlives it.
  TraceExporter(TraceExporterOptions options, Entropy& entropy);
  TraceExporter(const TraceExporter&) = delete;
  TraceExporter& operator=(const TraceExporter&) = delete;
  /// Stops.
  ~TraceExporter() override;

  void take(std::unique_ptr<trace::SpanRecord> span) noexcept override;

  /// Sends what is queued, for TraceExporterOptions::stop_max at most; then drops it. Idempotent, one thread at a time.
  void stop();

 private:
  using Batch = std::vector<std::unique_ptr<trace::SpanRecord>>;
  /// What one try came to.
  struct Verdict {
    TryResult what = TryResult::taken;
    std::uint64_t rejected = 0;                   ///< of those taken
    std::chrono::milliseconds wait_at_least{0};  ///< as the collector asks
    std::string problem = {};
  };

  void run();
  Batch wait_for_batch();
  void deliver(const Batch& batch);
  Verdict send(const std::string& body);
  Verdict try_once(const std::string& body);
  bool pause(std::chrono::milliseconds length);
  void note(bool trouble, std::string_view problem);

  const TraceExporterOptions options_;
  Entropy& entropy_;
  HttpClient http_;
  bool in_trouble_ = false;  ///< the thread alone: the last batch was not taken

  std::mutex mutex_;
  std::condition_variable wake_;   ///< for the thread
  std::condition_variable ended_;  ///< for stop()
  Batch queue_;
  bool stopping_ = false;
  bool done_ = false;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace berth::server
