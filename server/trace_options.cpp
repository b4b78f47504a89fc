#include "server/trace_options.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace berth::server {
namespace {

constexpr std::string_view kTraces = "/v1/traces";

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return name.data();
}

bool is_http(std::string_view url) { return url.starts_with("http://"); }

/// http or https, a host, maybe a port and a path. No user name, which would be a secret in a log, and nothing behind
/// the path, which is to be continued.
bool is_endpoint(std::string_view url) {
  const std::size_t host = url.starts_with("https://") ? 8 : is_http(url) ? 7 : url.size();
  if (host >= url.size() || url.find_first_of(" @?#\"\\", host) != url.npos) return false;
  std::string authority(url.substr(host, url.find('/', host) - host));
  const std::size_t port = authority.find(':', authority.starts_with('[') ? authority.find(']') : 0);
  if (port == authority.npos) authority += ":1";
  return config::parse_host_port(authority).has_value();
}

}  // namespace

TraceExporterOptions trace_exporter_options(const config::Settings& settings, std::string version) {
  const auto& from = settings.tracing;
  TraceExporterOptions options;
  options.url = from.endpoint;
  while (options.url.ends_with('/')) options.url.pop_back();
  options.url += kTraces;
  options.headers_file = from.headers_file;
  options.ca_file = from.ca;
  options.gzip = from.compression == "gzip";
  options.queue_max = from.queue;
  options.batch_max = from.batch;
  options.interval = from.interval;
  options.timeout = from.timeout;
  options.resource = {.service_name = from.service_name, .service_version = std::move(version), .instance = host_name()};
  return options;
}

trace::Sampling sampling(const config::Settings& settings) {
  return {.ratio = settings.tracing.sample_ratio, .follow_clients = settings.tracing.follow_clients};
}

void check_tracing(const config::Settings& settings, std::vector<config::Finding>& findings) {
  const auto& tracing = settings.tracing;
  const auto wrong = [&findings](std::string_view leaf, std::string what) {
    findings.push_back({fmt::format("tracing.{}", leaf), std::move(what)});
  };
  if (tracing.endpoint.empty()) {
    for (const auto& [leaf, value] : {std::pair("headers_file", &tracing.headers_file), std::pair("ca", &tracing.ca)})
      if (!value->empty()) wrong(leaf, "has no effect; expected tracing.endpoint as well");
    return;
  }
  if (!is_endpoint(tracing.endpoint))
    return wrong("endpoint", "is not such an address; expected http:// or https:// with a host, and maybe a port and a path");
  if (std::string_view(tracing.endpoint).find(kTraces) != std::string_view::npos)
    wrong("endpoint", "ends in /v1/traces, which berth adds itself; expected the address before it");
  if (tracing.batch > tracing.queue) wrong("batch", "is larger than tracing.queue; expected at most that");
  if (tracing.service_name.empty()) wrong("service_name", "is empty; expected a name");
  if (!tracing.headers_file.empty()) {
    const auto headers = read_headers_file(tracing.headers_file);
    if (!headers) wrong("headers_file", headers.error().message);
  }
  if (tracing.ca.empty()) return;
  if (is_http(tracing.endpoint)) wrong("ca", "has no effect; expected an endpoint that is https://");
  if (::access(tracing.ca.c_str(), R_OK) != 0)
    wrong("ca", fmt::format("{} cannot be read: {}", tracing.ca, std::strerror(errno)));
}

bool tells_headers_in_clear(const config::Settings& settings) {
  const auto& tracing = settings.tracing;
  if (tracing.headers_file.empty() || !is_http(tracing.endpoint)) return false;
  std::string_view host = std::string_view(tracing.endpoint).substr(7);
  host = host.substr(0, host.find('/'));
  if (host.starts_with('[')) host = host.substr(1, host.find(']') - 1);
  else host = host.substr(0, host.find(':'));
  return !config::is_loopback(host);
}

}  // namespace berth::server
