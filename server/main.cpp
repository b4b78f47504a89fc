// The parts list: builds every object in order, passes references down, waits, and takes all apart in reverse.
#include <spdlog/fmt/fmt.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>

#include "api/service.h"
#include "api/switches.h"
#include "base/env.h"
#include "base/log.h"
#include "base/log_spdlog.h"
#include "base/metrics.h"
#include "base/task.h"
#include "cli/cli.h"
#include "cli/terminal.h"
#include "config/settings.h"
#include "registry/data_format.h"
#include "registry/registry.h"
#include "server/accounts.h"
#include "server/assemble.h"
#include "server/auth_options.h"
#include "server/certificate_list.h"
#include "server/connection_metrics.h"
#include "server/data_directory.h"
#include "server/outside_services.h"
#include "server/passed_sockets.h"
#include "server/process_metrics.h"
#include "server/reload.h"
#include "server/server.h"
#include "server/service_manager.h"
#include "server/shutdown.h"
#include "server/start_memory.h"
#include "server/trace_exporter.h"
#include "server/trace_options.h"
#include "storage/ballast.h"
#include "storage/blobs/blob_store.h"
#include "storage/measured_file_system.h"
#include "storage/kv/committer.h"
#include "storage/kv/rocksdb_kv.h"

extern char** environ;

namespace {

using namespace berth;

// EX_SOFTWARE of sysexits.h: the supervisor shall start berth again.
constexpr int kExitFatal = 70;

/// Keys that sign and passwords that are being checked are in memory: it goes into no core dump.
void keep_memory_private() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

/// One port a line, in the order of the listeners; there in whole or not at all.
Result<void> write_port_file(const std::string& path, const std::vector<std::uint16_t>& ports) {
  std::string scratch = path + ".new";
  std::ofstream file(scratch);
  for (auto port : ports) file << port << '\n';
  file.close();
  std::error_code failed;
  if (file) std::filesystem::rename(scratch, path, failed);
  if (!file || failed) return make_error(ErrorCode::io_error, "the port file " + path + " cannot be written");
  return {};
}

void log_listeners(const config::Settings& settings, const std::vector<std::uint16_t>& ports) {
  const bool accounts = config::accounts_on(settings.auth);
  bool trusted = false;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const auto& listener = settings.listeners[i];
    const std::string host = listener.address.substr(0, listener.address.rfind(':'));
    const std::string serve = fmt::format("{}", fmt::join(listener.serve, ","));
    log::info("listening", {{"address", host}, {"port", ports[i]}, {"serve", serve}, {"tls", listener.tls.on}});
    const auto address = config::parse_host_port(listener.address);
    const bool registry = std::find(listener.serve.begin(), listener.serve.end(), "registry") != listener.serve.end();
    if (!registry || !address) continue;
    const bool loopback = config::is_loopback(address->host);
    const bool clear = !listener.tls.on && !listener.tls_elsewhere;
    if (loopback)
      trusted = true;
    else if (!accounts)
      log::warning(clear ? "anybody who reaches this address may pull, push and delete: there is neither TLS nor a login"
                         : "anybody who reaches this address may pull, push and delete: there is no login",
                   {{"address", host}, {"port", ports[i]}});
    else if (clear)
      log::warning("passwords and tokens go to this address in clear: there is no TLS",
                   {{"address", host}, {"port", ports[i]}});
  }
  if (accounts)
    log::info("accounts are on: whoever calls has to say who that is, on loopback too");
  else if (trusted)
    log::info("anybody on this machine may pull, push and delete: there is no login on loopback");
}

void start_log(const config::Settings& settings) {
  // The settings let through only what these know.
  log::setup(log::parse_level(settings.log.level).value_or(log::Level::info),
             log::parse_format(settings.log.format).value_or(log::Format::automatic));
  log::adopt_spdlog();
  metrics::set_counting(settings.metrics.enabled);
}

void log_error(std::string_view message, const Error& error) {
  log::error(message, {{"error", error.message}, {"detail", error.log_detail}});
}

Result<cli::DataFormats> data_formats(const std::string& index) {
  BERTH_TRY(const auto formats, registry::read_data_formats(index));
  cli::DataFormats told{
      .known = {formats.known.major, formats.known.minor}, .there = {}, .foreign_part = formats.foreign_family};
  if (formats.there) told.there = {formats.there->major, formats.there->minor};
  return told;
}

std::vector<cli::OutsideService> outside_services(const config::Settings& settings, std::chrono::milliseconds longest) {
  std::vector<cli::OutsideService> told;
  for (auto& asked : server::ask_outside_services(settings, longest)) {
    using Asked = server::OutsideService::Kind;
    using Told = cli::OutsideService::Kind;
    const auto kind = asked.kind == Asked::directory ? Told::directory
                      : asked.kind == Asked::issuer  ? Told::issuer
                                                     : Told::collector;
    told.push_back({kind, std::move(asked.name), std::move(asked.problem)});
  }
  return told;
}

[[noreturn]] void die(const Error& error) {
  log_error("the index could not be written; ending, so that a restart recovers all that was acknowledged", error);
  log::flush();
  ::_exit(kExitFatal);
}

int fail(const Error& error) {
  if (error.log_detail.empty())
    log::error(error.message);
  else
    log::error(error.message, {{"detail", error.log_detail}});
  return cli::kFailure;
}

int serve(const cli::ServeCall& call) {
  keep_memory_private();
  auto seen = server::content_of(call.sources);
  auto loaded = config::load(call.sources);
  if (!loaded) {
    std::cerr << loaded.error().message << '\n';
    return cli::kUsage;
  }
  const config::Settings settings = *std::move(loaded);

  server::block_signals();  // before any thread, the log's included
  start_log(settings);
  ::umask(0077);
  auto data = server::DataDirectory::open(settings.data.directory);
  if (!data) return fail(data.error());
  const std::size_t files_max = server::raise_open_files_limit();
  log::info("berth starts", {{"version", BERTH_VERSION}, {"data", data->path()}, {"open_files_max", files_max}});

  server::ServiceManager manager(call.sources.environment, ::getpid());
  auto server_options = server::server_options(settings);
  const server::FileShares files = server::share_files(files_max);
  server_options.connections_cap = files.connections_max;
  if (files.connections_max < settings.limits.connections)
    log::event(files.connections_max < settings.limits.connections / 4 ? log::Level::warning : log::Level::info,
               "there are descriptors for fewer connections than the settings allow; raise the limit of open files",
               {{"open_files_max", files_max}, {"connections_max", files.connections_max}});
  auto passed = server::passed_sockets(call.sources.environment, ::getpid());
  if (!passed) return fail(passed.error());
  if (auto adopted = server::adopt_sockets(*passed, server_options.listeners); !adopted) return fail(adopted.error());

  SystemClock clock;
  SystemEntropy entropy;
  // Without a collector neither exists. Whatever may end a span, a job of a pool too, is gone before them.
  std::optional<server::TraceExporter> exporter;
  std::optional<trace::Tracer> tracer;
  if (!settings.tracing.endpoint.empty()) {
    exporter.emplace(server::trace_exporter_options(settings, BERTH_VERSION), entropy);
    tracer.emplace(server::sampling(settings), entropy, *exporter);
    log::info("requests are traced", {{"collector", settings.tracing.endpoint}, {"ratio", settings.tracing.sample_ratio}});
    if (server::tells_headers_in_clear(settings))
      log::warning("the headers for the collector go to another machine in clear: its endpoint is not https://");
  }
  const auto threads = server::thread_counts(settings, std::thread::hardware_concurrency());
  Pool disk_pool("disk", threads.disk);
  Pool write_pool("write", threads.write);
  Pool cpu_pool("cpu", threads.cpu);
  registry::BufferPool buffers(settings.limits.body_buffers_bytes);
  auto cache = registry::make_answer_cache(settings.cache.manifests_bytes);
  server::tell_build(BERTH_VERSION, BERTH_REVISION, kv::rocksdb_version());
  const auto disk_pool_watched = server::watch_pool(disk_pool);
  const auto write_pool_watched = server::watch_pool(write_pool);
  const auto cpu_pool_watched = server::watch_pool(cpu_pool);
  storage::Ballast ballast(storage::measured_file_system(), server::ballast_options(settings));

  // Opened further down, while the server already answers the health routes; all outlive it.
  std::unique_ptr<kv::Store> store;
  std::optional<kv::Committer> committer;
  std::unique_ptr<storage::BlobStore> blobs;
  std::unique_ptr<registry::Registry> registry;
  std::unique_ptr<server::Accounts> accounts;

  api::Lifecycle lifecycle;
  const auto process_watched = server::watch_process(lifecycle);
  api::Switches switches(settings.registry.read_only, settings.log.access, settings.log.slow_request);
  const server::Server* listening = nullptr;  // set before the first request
  auto service_options = server::service_options(settings);
  service_options.version = BERTH_VERSION;
  service_options.switches = &switches;
  service_options.tracer = tracer ? &*tracer : nullptr;
  service_options.certificates = [&listening, &settings] {
    return server::certificate_list(listening->certificates(), settings);
  };
  auto service = api::make_service(std::move(service_options), lifecycle, clock, entropy);
  server::ListenerGate gate(*service, settings, entropy);
  server_options.on_tick = [&manager, &lifecycle, tick = std::move(server_options.on_tick)] {
    tick();
    manager.tick(std::chrono::steady_clock::now(), lifecycle.loop_heartbeat_ms.load(std::memory_order_relaxed));
  };
  auto server = server::make_server(std::move(server_options), gate, buffers, disk_pool, entropy,
                                    lifecycle.loop_heartbeat_ms);
  listening = server.get();
  const auto certificates_watched = server::watch_certificates([&listening] { return listening->certificates(); });
  if (auto started = server->start(); !started) return fail(started.error());
  server::Reload reload({call.sources, *server, manager, lifecycle, switches}, settings, std::move(seen));
  server::Signals signals({[&reload] { reload.asked(); }, call.sources.file, [&reload] { reload.look(); }});
  log_listeners(settings, server->ports());
  if (!call.port_file.empty())
    if (auto written = write_port_file(call.port_file, server->ports()); !written) return fail(written.error());

  if (auto held = ballast.open(); !held) return fail(held.error());
  kv::RocksDbOptions index;
  index.directory = std::filesystem::path(data->path()) / "index";
  index.block_cache_bytes = settings.data.block_cache_bytes;
  index.statistics = settings.metrics.enabled;
  index.open_files_max = static_cast<int>(files.index_max);
  index.on_background_error = [](std::string reason) {
    log::error("the index stopped taking writes", {{"reason", reason}});
  };
  auto opened_store = kv::open_rocksdb(registry::schema(), index);
  if (!opened_store) return fail(opened_store.error());
  store = *std::move(opened_store);

  auto identities_changed = registry::make_identity_signal();
  auto on_commit = [&cache, identities_changed](std::span<const std::string> touched, std::uint64_t version) {
    registry::invalidate(*cache, touched, version);
    registry::invalidate(*identities_changed, touched, version);
  };
  committer.emplace(*store, disk_pool, kv::CommitterOptions{}, on_commit, die);
  if (auto started = committer->start(); !started) return fail(started.error());

  storage::LocalBlobStoreOptions blob_options;
  blob_options.directory = data->path();
  auto opened_blobs = storage::open_local_blob_store(storage::measured_file_system(), blob_options);
  if (!opened_blobs) return fail(opened_blobs.error());
  blobs = *std::move(opened_blobs);

  auto registry_options = server::registry_options(settings);
  registry_options.pause = switches.pause();
  auto opened = registry::open_registry(
      {*store, *committer, *blobs, ballast, disk_pool, write_pool, cpu_pool, buffers, clock, entropy}, cache,
      std::move(registry_options));
  if (!opened) return fail(opened.error());
  registry = *std::move(opened);
  std::vector<config::Finding> findings;
  const auth::AuthOptions auth_options = server::auth_options(settings, findings);
  if (!findings.empty())
    return fail(make_error(ErrorCode::request_invalid, findings.front().path + ": " + findings.front().what));
  auto opened_accounts =
      server::Accounts::open(auth_options, {*committer, disk_pool, clock, entropy, switches.pause()}, identities_changed);
  if (!opened_accounts) return fail(opened_accounts.error());
  accounts = *std::move(opened_accounts);
  reload.attach(*accounts);
  service->attach(accounts->backends(*registry));
  lifecycle.started.store(true);
  if (switches.read_only()) log::warning("the registry is read-only, as the settings say: pushes and deletes are refused");
  log::info("ready");
  manager.ready();
  server::give_back_start_memory();

  signals.wait_for_stop();
  manager.stopping();
  lifecycle.draining.store(true);
  server->stop();
  accounts->stop();
  registry->stop();
  committer->stop();
  // All that was acknowledged is in the log already: without this the next start reads more of it, and that is all.
  if (auto flushed = store->flush(); !flushed)
    log::warning("the index was closed without being written out; the next start takes longer",
                 {{"error", flushed.error().log_detail}});
  if (exporter) exporter->stop();  // last: a collector that hangs holds up nothing that matters
  log::info("stopped");
  return cli::kOk;
}

}  // namespace

int main(int argc, char** argv) {
  cli::Program program{BERTH_VERSION, serve, {}, std::cin, std::cout, std::cerr, ::isatty(STDIN_FILENO) == 1,
                       cli::read_secret_from_terminal, server::check_settings, data_formats, outside_services};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view line(*entry);
    std::size_t equals = line.find('=');
    if (equals != line.npos) program.environment.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return cli::run(argc, argv, program);
}
