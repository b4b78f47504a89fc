#include "api/access_log.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace berth::api {

namespace {

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

}  // namespace

void log_access(const Request& request, const Response& response, const Outcome& outcome) {
  const log::Level level = level_of(request, response);
  if (!log::enabled(level)) return;
  // The path without its query: a query may carry what no log should.
  const std::string_view path = std::string_view(request.target).substr(0, request.target.find('?'));
  std::vector<log::Field> fields = {
      {"request_id", request.id},
      {"operation", request.operation},
      {"method", request.method_text},
      {"path", path},
      {"status", response.status},
      {"bytes", outcome.sent},
      {"duration_ms", std::chrono::duration<double, std::milli>(outcome.elapsed).count()},
      {"peer", request.peer_address},
  };
  if (!request.principal.empty()) {
    fields.emplace_back("principal", request.principal);
    fields.emplace_back("credential", request.credential);
  }
  // A client that hangs up in the middle is everyday life, not an error.
  if (request.client_certificate) fields.emplace_back("client_certificate", request.client_certificate->subject);
  if (!outcome.complete) fields.emplace_back("complete", false);
  if (const std::string_view from = foreign_id(request); !from.empty()) fields.emplace_back("client_request_id", from);
  if (!response.log_detail.empty()) fields.emplace_back("detail", response.log_detail);
  log::event(level, "request", fields);
}

}  // namespace berth::api
