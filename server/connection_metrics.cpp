#include "server/connection_metrics.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <map>

#include "server/server.h"

namespace berth::server {
namespace {

using metrics::Counter;
using metrics::Family;
using metrics::Gauge;
using metrics::Histogram;

std::string_view to_string(Rejection why) {
  switch (why) {
    case Rejection::address:
      return "address";
    case Rejection::total:
      return "total";
    case Rejection::descriptors:
      return "descriptors";
    case Rejection::foreign_user:
      return "foreign_user";
  }
  return "";
}

const metrics::EnumFamily<Counter, Rejection, 4> kRejected("http_connections_rejected_total",
                                                           "Connections that were turned away.", "reason", to_string);
const Family<Counter> kAccepted("http_connections_total", "Connections that were accepted.", {"listener"});
const Family<Gauge> kOpen("http_connections", "Open connections.", {"listener"});

/// By result and version; of what never came about the version is not known.
struct Handshakes {
  static constexpr std::string_view kUnknown = "none";
  const Family<Counter> family{"tls_handshakes_total", "TLS handshakes that ended.", {"result", "version"}};
  Counter& ok_2 = family.with({"ok", "1.2"});
  Counter& ok_3 = family.with({"ok", "1.3"});
  Counter& resumed_2 = family.with({"resumed", "1.2"});
  Counter& resumed_3 = family.with({"resumed", "1.3"});
  Counter& failed = family.with({"failed", kUnknown});
  Counter& timed_out = family.with({"timed_out", kUnknown});
  Counter& gone = family.with({"gone", kUnknown});
  Histogram& seconds =
      Family<Histogram>("tls_handshake_seconds", "From the first byte of a handshake to its good end, waits included.",
                        metrics::kAnswerBuckets)
          .with();
};
const Handshakes kHandshakes;

Histogram& loop_lag = Family<Histogram>("event_loop_lag_seconds",
                                        "How much later than asked for an I/O thread's timer went off, once a second.",
                                        metrics::kShortBuckets)
                          .with();

}  // namespace

std::string_view sentence_of(Rejection why) {
  switch (why) {
    case Rejection::address:
      return "there are too many connections from this address";
    case Rejection::total:
      return "there are too many connections";
    case Rejection::descriptors:
      return "the server has no descriptors left";
    case Rejection::foreign_user:
      return "this socket is for the user that runs berth, and for root";
  }
  return "";
}

void count_rejected(Rejection why) { kRejected[why].add(); }

ConnectionMetrics::ConnectionMetrics(const std::vector<ListenerOptions>& listeners) {
  const auto add = [this](const std::string& name) {
    listeners_.push_back({kAccepted.with({name}), kOpen.with({name})});
  };
  for (const auto& listener : listeners) {
    const bool v6 = listener.address.find(':') != std::string::npos;
    add(fmt::format(fmt::runtime(v6 ? "[{}]:{}" : "{}:{}"), listener.address, listener.port));
  }
  add("local");
}

OpenConnection ConnectionMetrics::opened(std::size_t listener) const {
  listeners_[listener].accepted.add();
  return OpenConnection(listeners_[listener].open);
}

void count_handshake(bool is_1_3, bool resumed, std::chrono::steady_clock::duration lasted) {
  const auto& counted = kHandshakes;
  (resumed ? is_1_3 ? counted.resumed_3 : counted.resumed_2 : is_1_3 ? counted.ok_3 : counted.ok_2).add();
  counted.seconds.observe(lasted);
}

void count_handshake(BrokenHandshake how) {
  switch (how) {
    case BrokenHandshake::failed:
      return kHandshakes.failed.add();
    case BrokenHandshake::timed_out:
      return kHandshakes.timed_out.add();
    case BrokenHandshake::gone:
      return kHandshakes.gone.add();
  }
}

void count_loop_lag(std::chrono::steady_clock::duration lag) { loop_lag.observe(lag); }

metrics::Source watch_pool(const Pool& pool) {
  return metrics::add_source([&pool](metrics::Sink& sink) {
    const metrics::Label name{"pool", pool.name()};
    sink.gauge("worker_pool_queue_length", "Jobs that no thread of the pool has begun.", {name},
               static_cast<double>(pool.waiting()));
    sink.gauge("worker_pool_busy", "Threads of the pool that have a job.", {name}, static_cast<double>(pool.busy()));
    sink.gauge("worker_pool_threads", "Threads of the pool.", {name}, static_cast<double>(pool.threads()));
  });
}

metrics::Source watch_certificates(std::function<std::vector<CertificateStatus>()> read) {
  return metrics::add_source([read = std::move(read)](metrics::Sink& sink) {
    struct File {
      WallTime not_after;
      bool loaded;
    };
    std::map<std::string, File> files;  // one may stand at several listeners, and hold several certificates
    for (const auto& status : read()) {
      const auto [place, is_new] = files.try_emplace(status.file, File{status.not_after, status.problem.empty()});
      if (is_new) continue;
      place->second.not_after = std::min(place->second.not_after, status.not_after);
      place->second.loaded &= status.problem.empty();
    }
    for (const auto& [file, state] : files) {
      sink.gauge("tls_certificate_not_after_timestamp_seconds", "When the certificate in use ends; of several in a file, the first to end.",
                 {{"certificate", file}}, std::chrono::duration<double>(state.not_after.time_since_epoch()).count());
      sink.gauge("tls_certificate_reload_success", "1: what the certificate's files hold now is in use.",
                 {{"certificate", file}}, state.loaded ? 1 : 0);
    }
  });
}

}  // namespace berth::server
