#include "api/access_log.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

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

/// With three digits after the point: a microsecond more or less says nothing.
double milliseconds(std::chrono::steady_clock::duration time) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  return static_cast<double>(us) / 1000.0;
}

}  // namespace

void log_access(const Request& request, const Response& response, const Outcome& outcome) {
  const log::Level level = level_of(request, response);
  if (!log::enabled(level)) return;
  std::vector<log::Field> fields = {
      {"request_id", request.id},
      {"operation", request.operation},
      {"method", request.method_text},
      {"path", path_of(request)},
      {"status", response.status},
      {"bytes", outcome.sent},
      {"received", outcome.received},
      {"ttfb_ms", milliseconds(outcome.until_answer)},
      {"duration_ms", milliseconds(outcome.elapsed)},
      {"peer", request.peer_address},
  };
  const std::string_view agent = request.headers.get("User-Agent").substr(0, kAgentBytesMax);
  if (!agent.empty()) fields.emplace_back("user_agent", agent);
  if (!request.principal.empty()) {
    fields.emplace_back("principal", request.principal);
    fields.emplace_back("credential", request.credential);
  }
  // A client that hangs up in the middle is everyday life, not an error.
  if (request.client_certificate) fields.emplace_back("client_certificate", request.client_certificate->subject);
  if (!outcome.complete) fields.emplace_back("complete", false);
  std::string trace_id, parent_id;  // what a field borrows
  if (request.trace) {
    trace_id = request.trace->trace_id_text();
    parent_id = request.trace->parent_id_text();
    fields.emplace_back("trace_id", trace_id);
    fields.emplace_back("parent_id", parent_id);
  }
  if (const std::string_view from = foreign_id(request); !from.empty()) fields.emplace_back("client_request_id", from);
  if (!response.log_detail.empty()) fields.emplace_back("detail", response.log_detail);
  log::event(level, "request", fields);
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
                                                {"ttfb_ms", milliseconds(outcome.until_answer)},
                                                {"auth_ms", milliseconds(time.auth)},
                                                {"client_ms", milliseconds(time.client_wait)},
                                                {"memory_ms", milliseconds(time.memory_wait)},
                                                {"registry_ms", milliseconds(registry)},
                                                {"trace_id", request.trace ? request.trace->trace_id_text() : ""}});
}

}  // namespace berth::api
