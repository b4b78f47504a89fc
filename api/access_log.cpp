#include "api/access_log.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace berth::api {

namespace {

spdlog::level::level_enum level_of(const Request& request, const Response& response) {
  // Probes come every few seconds and say nothing while all is well; "not yet" and "no longer" are answers like others.
  const bool probe = request.operation == "livez" || request.operation == "readyz" || request.operation == "startupz";
  if (probe) return response.status == 200 ? spdlog::level::debug : spdlog::level::info;
  if (response.status == 503) return spdlog::level::warn;  // it says so itself, and passes
  if (response.status >= 500) return spdlog::level::err;
  return spdlog::level::info;
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

void log_access(const Request& request, const Response& response, std::uint64_t bytes_sent, bool complete,
                std::chrono::steady_clock::duration elapsed) {
  const auto level = level_of(request, response);
  if (!spdlog::should_log(level)) return;
  // The path without its query: a query may carry what no log should.
  const std::string_view path = std::string_view(request.target).substr(0, request.target.find('?'));
  const auto ms = std::chrono::duration<double, std::milli>(elapsed).count();
  const std::string_view from = foreign_id(request);
  spdlog::log(level, "{} {} {} {} {} bytes={} ms={:.1f} peer={}{}{}{}{}{}", request.id,
              request.operation.empty() ? "-" : request.operation, request.method_text, path, response.status,
              bytes_sent, ms, request.peer_address, complete ? "" : " cut", from.empty() ? "" : " from=", from,
              response.log_detail.empty() ? "" : " ", response.log_detail);
}

}  // namespace berth::api
