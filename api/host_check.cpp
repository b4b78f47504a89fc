#include "api/host_check.h"

#include <algorithm>

namespace berth::api {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

bool is_number(std::string_view text, unsigned max) {
  if (text.empty() || text.size() > 5) return false;
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value <= max;
}

bool is_loopback_v4(std::string_view host) {
  int parts = 0;
  while (true) {
    const std::size_t dot = host.find('.');
    const std::string_view part = host.substr(0, dot);
    if (!is_number(part, 255) || (parts == 0 && part != "127")) return false;
    ++parts;
    if (dot == std::string_view::npos) return parts == 4;
    host.remove_prefix(dot + 1);
  }
}

/// The host without its port; empty when what follows it is no port.
std::string_view without_port(std::string_view text) {
  const std::size_t end = text.starts_with('[') ? text.find(']') : text.find(':');
  if (end == std::string_view::npos) return text.starts_with('[') ? std::string_view{} : text;
  const std::size_t host_size = text.starts_with('[') ? end + 1 : end;
  const std::string_view rest = text.substr(host_size);
  if (!rest.empty() && (rest.front() != ':' || !is_number(rest.substr(1), 65535))) return {};
  return text.substr(0, host_size);
}

}  // namespace

bool is_local_host(std::string_view host_and_port, const std::vector<std::string>& allowed) {
  const std::string host = lower(without_port(host_and_port));
  if (host.empty()) return false;
  if (host == "localhost" || host == "[::1]" || is_loopback_v4(host)) return true;
  if (host.size() > 10 && host.ends_with(".localhost")) return true;
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& name) { return lower(name) == host; });
}

Result<void> check_host(const Request& request, const std::vector<std::string>& allowed) {
  // Only HTTP/1.0 may leave Host out, and no browser speaks it.
  if (request.headers.has("Host") && !is_local_host(request.headers.get("Host"), allowed)) {
    return make_error(ErrorCode::host_refused,
                      "this listener serves this machine only, and the Host header names another one; "
                      "use localhost or 127.0.0.1");
  }
  if (!request.headers.has("Origin")) return {};
  std::string_view origin = request.headers.get("Origin");
  const std::size_t scheme_end = origin.find("://");
  // "null" is what a browser sends for a page it does not trust.
  if (scheme_end != std::string_view::npos && is_local_host(origin.substr(scheme_end + 3), allowed)) return {};
  return make_error(ErrorCode::host_refused, "this listener serves this machine only, and a foreign page sent this");
}

}  // namespace berth::api
