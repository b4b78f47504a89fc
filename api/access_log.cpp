#include "api/access_log.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_text.h"
#include "base/log.h"
#include "base/log_line.h"

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
  const std::string_view agent = request.headers.get("User-Agent").substr(0, kAgentBytesMax);
  const std::string_view foreign = foreign_id(request);
  const std::string_view certificate =
      request.client_certificate ? request.client_certificate->subject : std::string_view{};
  const TraceIds trace = trace_of(request);

  // Of what is short by nature, with the names; and of what others chose.
  constexpr std::size_t kShort = 2 << 10;
  const std::size_t chosen = request.method_text.size() + request.path().size() + request.principal.size() +
                             agent.size() + certificate.size() + response.log_detail.size();
  log::Line line(level, "request", kShort + log::line_max("request", {}) + json_string_max(chosen));
  line.add_word<"request_id">(request.id);
  line.add_word<"operation">(request.operation);
  line.add<"method">(request.method_text);
  line.add<"path">(request.path());
  line.add<"status">(response.status);
  line.add<"bytes">(outcome.sent);
  if (outcome.received != 0) line.add<"received">(outcome.received);
  line.add<"ttfb_ms">(outcome.until_answer);
  line.add<"duration_ms">(outcome.elapsed);
  line.add<"peer">(request.peer_address);
  if (!request.via.empty()) line.add<"via">(request.via);
  if (!agent.empty()) line.add<"user_agent">(agent);
  if (!request.principal.empty()) line.add<"principal">(request.principal);
  // Of somebody without one the principal says it.
  const bool shown = !request.credential.empty() && request.credential != request.principal;
  if (shown) line.add<"credential">(request.credential);
  if (!certificate.empty()) line.add<"client_certificate">(certificate);
  // A client that hangs up in the middle is everyday life, not an error.
  if (!outcome.complete) line.add<"complete">(false);
  if (!trace.trace_id.empty()) line.add_word<"trace_id">(trace.trace_id);
  if (!trace.span_id.empty()) line.add_word<"span_id">(trace.span_id);
  if (!trace.parent_id.empty()) line.add_word<"parent_id">(trace.parent_id);
  if (!foreign.empty()) line.add_word<"client_request_id">(foreign);
  if (!response.log_detail.empty()) line.add<"detail">(response.log_detail);
}

void log_slow(const Request& request, const Response& response, const Outcome& outcome) {
  const Timeline& time = request.timeline;
  const Waits& within = time.registry;
  struct Part {
    std::string_view name;
    std::string_view field;
    Timeline::Duration time;
  };
  Part parts[] = {{"registry", "registry_ms", outcome.until_answer},
                  {"disk", "disk_ms", outcome.disk_wait},
                  {"auth", "auth_ms", time.auth},
                  {"client", "client_ms", time.client_wait},
                  {"memory", "memory_ms", time.memory_wait},
                  {"queue", "queue_ms", within.queue},
                  {"read", "read_ms", within.read},
                  {"write", "write_ms", within.write},
                  {"hash", "hash_ms", within.hash},
                  {"file", "file_ms", within.file},
                  {"commit", "commit_ms", within.commit}};
  // What of the time until the answer was not spent on other waits is the registry's own. The disk's came after it.
  for (const Part& part : std::span(parts).subspan(2)) parts[0].time -= part.time;
  const auto longest = std::ranges::max_element(parts, {}, &Part::time);
  const TraceIds trace = trace_of(request);
  std::vector<log::Field> fields = {{"request_id", request.id},    {"operation", request.operation},
                                    {"path", request.path()},      {"status", response.status},
                                    {"waited_for", longest->name}, {"ttfb_ms", outcome.until_answer}};
  for (const Part& part : parts) {
    if (part.time != Timeline::Duration{}) fields.emplace_back(part.field, part.time);
  }
  if (!trace.trace_id.empty()) fields.emplace_back("trace_id", trace.trace_id);
  log::event(log::Level::warning, "a request was slow to answer", fields);
}

}  // namespace berth::api
