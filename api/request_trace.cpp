#include "api/request_trace.h"

#include <charconv>
#include <vector>

#include "base/span.h"

namespace berth::api {
namespace {

/// The word for what is counted one by one; methods that nobody knows would be names without end.
std::string_view method_of(const Request& request) {
  return request.method == Method::other ? std::string_view("_OTHER") : std::string_view(request.method_text);
}

bool only_watches(std::string_view path) {
  return path == "/livez" || path == "/readyz" || path == "/startupz" || path == "/metrics";
}

void set_server(trace::Span& span, std::string_view host) {
  if (host.empty()) return;
  const std::size_t colon = host.find(':', host.starts_with('[') ? host.find(']') : 0);
  span.set("server.address", host.substr(0, colon));
  if (colon == std::string_view::npos) return;
  std::uint16_t port = 0;
  const std::string_view digits = host.substr(colon + 1);
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failed == std::errc{} && end == digits.data() + digits.size()) span.set("server.port", port);
}

std::int64_t microseconds(Timeline::Duration time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

/// Not in it: the query and headers like Authorization, which may hold secrets, and who asked, whom the log names.
void describe(const Request& request) {
  trace::Span& span = request.span;
  span.set_name(request.method == Method::other ? "HTTP" : request.method_text);
  span.set("http.request.method", method_of(request));
  span.set("url.path", request.path());
  span.set("url.scheme", request.secure ? "https" : "http");
  span.set("client.address", request.peer_address);
  set_server(span, request.headers.get("Host"));
  if (const auto agent = request.headers.get("User-Agent"); !agent.empty()) span.set("user_agent.original", agent);
  span.set("berth.request_id", request.id);
}

/// Without a good traceparent a tracestate means nothing (Trace Context §3.3).
std::string state_of(const Request& request) {
  return request.trace ? read_tracestate(request.headers.all("tracestate")) : std::string();
}

}  // namespace

void begin_trace(Request& request, const trace::Tracer* tracer) {
  // Of several values nobody knows which one counts (Trace Context §3.2).
  if (const auto parents = request.headers.all("traceparent"); parents.size() == 1) {
    request.trace = parse_traceparent(parents.front());
  }
  if (tracer == nullptr || only_watches(request.path())) return;
  request.span = tracer->begin(request.trace, state_of(request));
  if (request.span) describe(request);
}

trace::Parent outbound_trace(const Request& request) {
  if (request.span.below() || !request.trace) return request.span.below();
  return trace::Parent::passed_on(*request.trace, state_of(request));
}

void name_trace(Request& request, std::string_view route) {
  if (!request.span) return;
  std::string name(request.method == Method::other ? "HTTP" : request.method_text);
  request.span.set_name(name.append(" ").append(route));
  request.span.set("http.route", route);
}

void end_trace(const Request& request, const Response& response, const Outcome& outcome) {
  trace::Span& span = request.span;
  if (!span) return;
  if (response.status != kNoAnswer) span.set("http.response.status_code", response.status);
  span.set("http.request.body.size", static_cast<std::int64_t>(outcome.received));
  span.set("http.response.body.size", static_cast<std::int64_t>(outcome.sent));
  if (!request.operation.empty()) span.set("berth.operation", request.operation);
  span.set("berth.response_start_us", microseconds(outcome.until_answer));
  if (const auto wait = request.timeline.client_wait; wait.count() > 0) span.set("berth.client_wait_us", microseconds(wait));
  if (const auto wait = request.timeline.memory_wait; wait.count() > 0) span.set("berth.memory_wait_us", microseconds(wait));
  // What a client does wrong, or that it hangs up, is no failure of the server.
  if (response.status >= 500) span.fail(std::to_string(response.status));
  else if (!outcome.complete) span.set("error.type", "client_gone");
  span.end();
}

}  // namespace berth::api
