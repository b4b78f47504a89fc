#include "api/access_log.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace berth::api {

namespace {

/// Enough to tell clients apart; some send essays.
constexpr std::size_t kAgentBytesMax = 128;

log::Level level_of(const Request& request, const Response& response) {
  // Probes come every few seconds and say nothing while all is well; "not yet" and "no longer" are answers like others.
  const bool probe = request.operation == "livez" || request.operation == "readyz" || request.operation == "startupz";
  if (probe) return response.status == 200 ? log::Level::debug : log::Level::info;
  if (response.status == 503) return log::Level::warning;  // it says so itself, and passes
  return response.status >= 500 ? log::Level::error : log::Level::info;
}

/// An id that a client or a proxy gave the request: quoted beside ours when it looks like one.
std::string_view foreign_id(const Request& request) {
  const std::string_view id = request.headers.get("X-Request-Id");
  const bool sane = id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                             c == '_' || c == '.';
                    });
  return sane ? id : std::string_view{};
}

/// The path without its query: a query may carry what no log should.
std::string_view path_of(const Request& request) {
  return std::string_view(request.target).substr(0, request.target.find('?'));
}

/// The fields of one line, with no heap.
class Fields {
 public:
  template <class T>
  void add(std::string_view name, const T& value) {
    fields_[size_++] = log::Field(name, value);
  }
  std::span<const log::Field> all() const { return {fields_.data(), size_}; }

 private:
  std::array<log::Field, 22> fields_;  ///< more than log_access() has
  std::size_t size_ = 0;
};

/// Empty: there is none.
struct TraceIds {
  std::string trace_id;
  std::string span_id;
  std::string parent_id;
};

/// Of the span that is recorded of the request, and of the client's, which it is a part of unless the settings say
/// otherwise.
TraceIds trace_of(const Request& request) {
  TraceIds ids;
  if (request.span) {
    const auto here = request.span.below().context();
    ids.trace_id = here->trace_id_text();
    ids.span_id = here->parent_id_text();
  }
  if (!request.trace || (request.span && request.trace->trace_id_text() != ids.trace_id)) return ids;
  ids.trace_id = request.trace->trace_id_text();
  ids.parent_id = request.trace->parent_id_text();
  return ids;
}

}  // namespace

void log_access(const Request& request, const Response& response, const Outcome& outcome) {
  const log::Level level = level_of(request, response);
  if (!log::enabled(level)) return;
  Fields fields;
  fields.add("request_id", request.id);
  fields.add("operation", request.operation);
  fields.add("method", request.method_text);
  fields.add("path", path_of(request));
  fields.add("status", response.status);
  fields.add("bytes", outcome.sent);
  fields.add("received", outcome.received);
  fields.add("ttfb_ms", outcome.until_answer);
  fields.add("duration_ms", outcome.elapsed);
  fields.add("peer", request.peer_address);
  const std::string_view agent = request.headers.get("User-Agent").substr(0, kAgentBytesMax);
  if (!agent.empty()) fields.add("user_agent", agent);
  if (!request.principal.empty()) {
    fields.add("principal", request.principal);
    fields.add("credential", request.credential);
  }
  if (request.client_certificate) fields.add("client_certificate", request.client_certificate->subject);
  // A client that hangs up in the middle is everyday life, not an error.
  if (!outcome.complete) fields.add("complete", false);
  const TraceIds trace = trace_of(request);  // what a field borrows
  if (!trace.trace_id.empty()) fields.add("trace_id", trace.trace_id);
  if (!trace.span_id.empty()) fields.add("span_id", trace.span_id);
  if (!trace.parent_id.empty()) fields.add("parent_id", trace.parent_id);
  if (const std::string_view from = foreign_id(request); !from.empty()) fields.add("client_request_id", from);
  if (!response.log_detail.empty()) fields.add("detail", response.log_detail);
  log::event(level, "request", fields.all());
}

void log_slow(const Request& request, const Response& response, const Outcome& outcome) {
  const Timeline& time = request.timeline;
  // What was not spent on other waits is the registry's: its index, its disk and the commit.
  const auto registry = outcome.until_answer - time.auth - time.client_wait - time.memory_wait;
  const std::pair<std::string_view, Timeline::Duration> parts[] = {
      {"registry", registry}, {"auth", time.auth}, {"client", time.client_wait}, {"memory", time.memory_wait}};
  const auto most = std::max_element(std::begin(parts), std::end(parts),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  log::warning("a request was slow to answer", {{"request_id", request.id},
                                                {"operation", request.operation},
                                                {"path", path_of(request)},
                                                {"status", response.status},
                                                {"waited_for", most->first},
                                                {"ttfb_ms", outcome.until_answer},
                                                {"auth_ms", time.auth},
                                                {"client_ms", time.client_wait},
                                                {"memory_ms", time.memory_wait},
                                                {"registry_ms", registry},
                                                {"trace_id", trace_of(request).trace_id}});
}

}  // namespace berth::api
