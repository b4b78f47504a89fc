#include "server/assemble.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "api/errors.h"
#include "api/host_check.h"
#include "config/local_socket.h"
#include "storage/kv/committer.h"

namespace berth::server {
namespace {

bool serves(const config::ListenerSettings& listener, std::string_view what) {
  return std::find(listener.serve.begin(), listener.serve.end(), what) != listener.serve.end();
}

std::chrono::seconds whole_seconds(std::chrono::milliseconds duration) {
  return std::chrono::ceil<std::chrono::seconds>(duration);
}

/// "registry.example.com" of "https://registry.example.com:8443"; "[::1]" keeps its brackets.
std::string host_of(const std::string& url) {
  std::size_t begin = url.find("//");
  if (begin == url.npos) return {};
  std::string host = url.substr(begin + 2);
  std::size_t bracket = host.find(']');
  std::size_t colon = host.find(':', bracket == host.npos ? 0 : bracket);
  return host.substr(0, colon);
}

bool is_health_path(std::string_view path) {
  return path == "/livez" || path == "/readyz" || path == "/startupz";
}

std::optional<TlsOptions> tls_options(const config::ListenerSettings::Tls& tls) {
  using Ask = TlsOptions::ClientCertificates;
  if (!tls.on) return std::nullopt;
  TlsOptions options;
  for (std::size_t i = 0; i < tls.certificate.size(); ++i) options.certificates.push_back({tls.certificate[i], tls.key.at(i)});
  options.client_ca = tls.client_ca;
  options.client_certificates = tls.client_certificates == "required"   ? Ask::required
                                : tls.client_certificates == "optional" ? Ask::optional
                                                                        : Ask::none;
  options.only_1_3 = tls.min_version == "1.3";
  return options;
}

TrustedProxies trusted_proxies(const std::vector<std::string>& texts) {
  std::vector<IpNetwork> networks;
  for (const std::string& text : texts) {
    if (const auto network = IpNetwork::parse(text)) networks.push_back(*network);  // load() let no others through
  }
  return TrustedProxies(std::move(networks));
}

}  // namespace

ServerOptions server_options(const config::Settings& settings) {
  ServerOptions options;
  for (const auto& listener : settings.listeners) {
    auto address = config::parse_host_port(listener.address);
    if (!address) continue;  // load() let none of these through
    // "localhost" is whatever a resolver says; the settings promise that it is this machine.
    std::string host = address->host == "localhost" ? "127.0.0.1" : address->host;
    options.listeners.push_back({host, address->port, config::is_loopback(host), tls_options(listener.tls),
                                 trusted_proxies(listener.trusted_proxies)});
  }
  options.local_socket = config::local_socket_of(settings);
  const auto& limits = settings.limits;
  options.io_threads = settings.threads.io;
  options.connections_max = limits.connections;
  options.connections_per_address_max = limits.connections_per_address;
  // However little that is, the largest answer must fit: a manifest, or a page of the longest names.
  constexpr std::uint64_t kNameBytesMax = 512;
  options.memory_bytes_max = std::max<std::uint64_t>(
      limits.connection_memory_bytes, std::max(limits.manifest_bytes, limits.page_entries * kNameBytesMax) + (64 << 10));
  options.header_bytes_max = limits.header_bytes;
  options.header_timeout = whole_seconds(limits.header_timeout);
  options.idle_timeout = whole_seconds(limits.idle_timeout);
  options.rate_window = whole_seconds(limits.rate_window);
  options.rate_bytes = limits.rate_bytes_per_second * static_cast<std::uint64_t>(options.rate_window.count());
  options.drain_timeout = whole_seconds(limits.drain_timeout);
  // A thread with nothing to read must not pin an old state of the index: what was deleted since could not leave the disk.
  options.on_tick = kv::ViewSource::release_thread_cache;
  return options;
}

ServerLimits server_limits(const config::Settings& settings) {
  const auto& limits = settings.limits;
  return {limits.connections, limits.connections_per_address, whole_seconds(limits.drain_timeout)};
}

api::ServiceOptions service_options(const config::Settings& settings) {
  api::ServiceOptions options;
  options.page_entries_max = settings.limits.page_entries;
  options.catalog_page_default = std::min<std::size_t>(options.catalog_page_default, options.page_entries_max);
  options.ranges_max = settings.limits.ranges;
  options.manifest_bytes_max = settings.limits.manifest_bytes;
  // At least one manifest of the largest size must fit.
  options.manifest_bodies_bytes_max = std::max<std::size_t>(options.manifest_bodies_bytes_max, options.manifest_bytes_max);
  options.tags_per_push_max = settings.limits.tags_per_push;
  options.blob_bytes_max = settings.limits.blob_bytes;
  if (!settings.public_url.empty()) options.allowed_hosts.push_back(host_of(settings.public_url));
  for (const auto& listener : settings.listeners) {
    const auto address = config::parse_host_port(listener.address);
    if (!address || !config::is_loopback(address->host)) continue;
    options.allowed_hosts.insert(options.allowed_hosts.end(), listener.hosts.begin(), listener.hosts.end());
  }
  return options;
}

registry::RegistryOptions registry_options(const config::Settings& settings) {
  registry::RegistryOptions options;
  options.inline_bytes_max = settings.data.inline_limit_bytes;
  options.manifest_bytes_max = settings.limits.manifest_bytes;
  options.manifest.depth_max = settings.limits.manifest_depth;
  options.manifest.descriptors_max = settings.limits.manifest_descriptors;
  options.manifest.accept_artifact_manifest = settings.registry.accept_artifact_manifest;
  options.sparse_indexes = settings.registry.sparse_indexes;
  options.anonymous_mount = settings.registry.anonymous_mount;
  options.deletion = settings.registry.deletion;
  options.blob_bytes_max = settings.limits.blob_bytes;
  options.tags_per_push_max = settings.limits.tags_per_push;
  options.collection_grace = settings.collection.grace;
  options.undo_window = settings.undo.window;
  options.reap_delay = settings.collection.reap_delay;
  options.upload_ttl = settings.limits.upload_ttl;
  options.change_log_keep = settings.registry.change_log_keep;
  options.collector_interval = settings.collection.interval;
  options.uploads_open_max = settings.limits.uploads_open;
  options.uploads_open_of_one_max = settings.limits.uploads_open_per_account;
  // Without accounts nobody has one.
  if (config::accounts_on(settings.auth)) {
    options.uploads_open_of_nobody_max = std::max<std::size_t>(1, options.uploads_open_max / 2);
  }
  options.answer_cache_bytes = settings.cache.manifests_bytes;
  return options;
}

storage::BallastOptions ballast_options(const config::Settings& settings) {
  storage::BallastOptions options;
  options.directory = settings.data.directory;
  options.size_min = settings.data.ballast_min_bytes;
  options.size_max = settings.data.ballast_max_bytes;
  return options;
}

FileShares share_files(std::size_t files_max) {
  constexpr std::size_t kIndexMax = 512;
  constexpr std::size_t kReserved = 64;  // the log, the lock, sockets to directories and issuers, what RocksDB writes
  FileShares shares;
  shares.index_max = std::clamp<std::size_t>(files_max / 4, 16, kIndexMax);
  const std::size_t taken = shares.index_max + kReserved;
  const std::size_t rest = files_max > taken ? files_max - taken : 0;
  shares.connections_max = std::max<std::size_t>(16, rest - rest / 4);
  return shares;
}

ThreadCounts thread_counts(const config::Settings& settings, std::size_t cores) {
  cores = std::max<std::size_t>(1, cores);
  ThreadCounts counts;
  counts.disk = settings.threads.disk != 0 ? settings.threads.disk : std::max<std::size_t>(8, 4 * cores);
  counts.write = settings.threads.write != 0 ? settings.threads.write : std::max<std::size_t>(8, 4 * cores);
  counts.cpu = settings.threads.cpu != 0 ? settings.threads.cpu : cores;
  return counts;
}

ListenerGate::ListenerGate(api::Handler& next, const config::Settings& settings, Entropy& entropy)
    : next_(next), entropy_(entropy) {
  for (const auto& listener : settings.listeners) {
    Serves all{serves(listener, "registry"), serves(listener, "health"), serves(listener, "metrics"), listener.hosts};
    if (!all.hosts.empty() && !settings.public_url.empty()) all.hosts.push_back(host_of(settings.public_url));
    listeners_.push_back(std::move(all));
  }
  listeners_.emplace_back();  // the local socket serves everything
}

asio::awaitable<api::Response> ListenerGate::handle(api::Request& request) {
  const Serves& serves = listeners_.at(request.listener);
  const std::string_view path = request.path();
  // Where there is no registry nobody logs in: whoever set such a listener up shows the metrics to all who reach it.
  request.metrics_open = serves.metrics && !serves.registry;
  const bool allowed = is_health_path(path) ? serves.health : path == "/metrics" ? serves.metrics : serves.registry;
  // Probes and scrapes come by address, and change nothing.
  const bool named = serves.hosts.empty() || is_health_path(path) || path == "/metrics";
  const Result<void> host = named ? Result<void>() : api::check_host(request, serves.hosts);
  if (allowed && host) co_return co_await next_.handle(request);
  request.id = make_uuid(entropy_);
  const Error refused = allowed ? host.error() : make_error(ErrorCode::route_unknown, "this listener does not serve that");
  auto response = api::error_response(refused, request.id);
  api::add_common_headers(response, request.id, request.target);
  co_return response;
}

void ListenerGate::finished(const api::Request& request, const api::Response& response, const api::Outcome& outcome) {
  next_.finished(request, response, outcome);
}

}  // namespace berth::server
