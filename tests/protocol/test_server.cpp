#include "tests/protocol/test_server.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

#include "api/service.h"
#include "base/log.h"
#include "registry/registry.h"
#include "server/server.h"
#include "storage/ballast.h"
#include "storage/kv/memory_kv.h"
#include "tests/support/certificates.h"
#include "tests/support/faulty_files.h"
#include "tests/support/manual_clock.h"
#include "tests/support/seeded_entropy.h"

namespace berth::test {

namespace {

/// Gone with all that is in it at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "berth-protocol-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Says that no byte is left when it is told to. Thread-safe.
class FullableFiles final : public FilesOver {
 public:
  using FilesOver::FilesOver;
  std::atomic<bool> full{false};
  Result<storage::SpaceInfo> space(const std::string& path) override {
    BERTH_TRY(auto info, base_.space(path));
    if (full) info.free_bytes = 0;
    return info;
  }
};

/// A certificate that lives as long as the program.
server::TlsOptions tls_options() {
  static const Folder folder;
  static const Identity identity = Authority("berth test").issue({.name = "localhost", .names = {"DNS:localhost"}});
  server::TlsOptions options;
  options.certificates = {{folder.write("tls.crt", identity.certificate), folder.write("tls.key", identity.key)}};
  return options;
}

struct Setup {
  registry::RegistryOptions registry;
  api::ServiceOptions service;
  server::ServerOptions server;
  bool started = true;
  bool disk_full = false;
};

Error bad_option(const std::vector<std::string>& words) {
  std::string text = "no such option:";
  for (const std::string& word : words) text += ' ' + word;
  return make_error(ErrorCode::request_invalid, text);
}

Result<Setup> read_options(const std::vector<std::vector<std::string>>& options) {
  Setup setup;
  // One I/O thread and one address: replies come in the order of the file.
  setup.server.io_threads = 1;
  setup.server.listeners = {{.address = "127.0.0.1", .port = 0, .loopback = true}};
  setup.server.drain_timeout = std::chrono::seconds(1);
  using Words = const std::string&;
  const auto number = [](Words text) { return std::strtoull(text.c_str(), nullptr, 10); };
  const auto seconds = [&](Words text) { return std::chrono::seconds(number(text)); };
  const std::map<std::string, std::function<void(Words)>> known = {
      {"deletion", [&](Words w) { setup.registry.deletion = w == "on"; }},
      {"anonymous_mount", [&](Words w) { setup.registry.anonymous_mount = w == "on"; }},
      {"sparse_indexes", [&](Words w) { setup.registry.sparse_indexes = w == "on"; }},
      {"accept_artifact_manifest", [&](Words w) { setup.registry.manifest.accept_artifact_manifest = w == "on"; }},
      {"descriptors_max", [&](Words w) { setup.registry.manifest.descriptors_max = number(w); }},
      {"uploads_open_max", [&](Words w) { setup.registry.uploads_open_max = number(w); }},
      {"upload_ttl_s", [&](Words w) { setup.registry.upload_ttl = seconds(w); }},
      {"collector_interval_ms",
       [&](Words w) { setup.registry.collector_interval = std::chrono::milliseconds(number(w)); }},
      {"blob_bytes_max", [&](Words w) { setup.registry.blob_bytes_max = setup.service.blob_bytes_max = number(w); }},
      {"manifest_bytes_max",
       [&](Words w) { setup.registry.manifest_bytes_max = setup.service.manifest_bytes_max = number(w); }},
      {"page_entries_max", [&](Words w) { setup.service.page_entries_max = number(w); }},
      {"referrers_bytes_max", [&](Words w) { setup.service.referrers_bytes_max = number(w); }},
      {"ranges_max", [&](Words w) { setup.service.ranges_max = number(w); }},
      {"allowed_host", [&](Words w) { setup.service.allowed_hosts.push_back(w); }},
      {"header_timeout_s", [&](Words w) { setup.server.header_timeout = seconds(w); }},
      {"idle_timeout_s", [&](Words w) { setup.server.idle_timeout = seconds(w); }},
      {"rate_window_s", [&](Words w) { setup.server.rate_window = seconds(w); }},
      {"header_bytes_max", [&](Words w) { setup.server.header_bytes_max = number(w); }},
      {"loopback", [&](Words w) { setup.server.listeners[0].loopback = w == "on"; }},
      {"started", [&](Words w) { setup.started = w == "on"; }},
      {"disk", [&](Words w) { setup.disk_full = w == "full"; }},
  };
  for (const auto& words : options) {
    if (words.size() != 2 || !known.contains(words[0])) return bad_option(words);
    known.at(words[0])(words[1]);
  }
  return setup;
}

class WholeServer final : public TestServer {
 public:
  ~WholeServer() override {
    if (server_) server_->stop();
    if (registry_) registry_->stop();
    committer_.stop();
  }

  Result<void> open(Setup setup) {
    BERTH_CHECK(ballast_.open());
    BERTH_TRY(blobs_, storage::open_local_blob_store(files_, {.directory = folder_.path()}));
    BERTH_CHECK(committer_.start());
    const registry::RegistryParts parts{*store_,    committer_, *blobs_, ballast_, disk_pool_, disk_pool_,
                                        cpu_pool_, buffers_,   clock_,  entropy_};
    BERTH_TRY(registry_, registry::open_registry(parts, cache_, setup.registry));
    service_ = api::make_service(setup.service, lifecycle_, system_clock_, entropy_);
    if (setup.started) {
      service_->attach({.registry = *registry_});
      lifecycle_.started = true;
    }
    set_disk_full(setup.disk_full);
    server_ = server::make_server(setup.server, *service_, buffers_, disk_pool_, entropy_,
                                  lifecycle_.loop_heartbeat_ms);
    return server_->start();
  }

  std::uint16_t port() const override { return server_->ports().front(); }
  void advance(std::chrono::milliseconds by) override { clock_.advance(by); }
  void set_disk_full(bool full) override {
    files_.full = full;
    ballast_.check();
  }
  void set_draining(bool draining) override { lifecycle_.draining = draining; }

 private:
  TemporaryFolder folder_;
  FullableFiles files_{storage::posix_file_system()};
  ManualClock clock_;
  SystemClock system_clock_;  // for /livez, which measures the server's own threads
  SeededEntropy entropy_;
  Pool disk_pool_{"disk", 2};
  Pool cpu_pool_{"cpu", 1};
  registry::BufferPool buffers_{16 << 20};
  storage::Ballast ballast_{files_, {.directory = folder_.path(), .size_min = 4096, .size_max = 4096}};
  std::unique_ptr<storage::BlobStore> blobs_;
  std::unique_ptr<kv::Store> store_ = kv::make_memory_store(registry::schema());
  std::shared_ptr<registry::AnswerCache> cache_ = registry::make_answer_cache(1 << 20);
  kv::Committer committer_{*store_, disk_pool_, {},
                           [cache = cache_](std::span<const std::string> touched, std::uint64_t version) {
                             registry::invalidate(*cache, touched, version);
                           },
                           [](const Error&) { std::abort(); }};
  std::unique_ptr<registry::Registry> registry_;
  api::Lifecycle lifecycle_;
  std::unique_ptr<api::Service> service_;
  std::unique_ptr<server::Server> server_;
};

}  // namespace

Result<std::unique_ptr<TestServer>> TestServer::start(const std::vector<std::vector<std::string>>& options, bool tls) {
  BERTH_TRY(auto setup, read_options(options));
  if (tls) setup.server.listeners[0].tls = tls_options();
  log::set_level(log::Level::error);  // the refusals are what is tested
  auto server = std::make_unique<WholeServer>();
  BERTH_CHECK(server->open(std::move(setup)));
  return std::unique_ptr<TestServer>(std::move(server));
}

}  // namespace berth::test
