#include "server/assemble.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include "storage/kv/committer.h"
#include "storage/kv/memory_kv.h"

using namespace berth;
using namespace std::chrono_literals;

namespace {

/// Answers 200 to everything and counts.
class Everything final : public api::Handler {
 public:
  asio::awaitable<api::Response> handle(api::Request&) override { co_return api::text_response(200, "ok", "text/plain"); }
  void finished(const api::Request&, const api::Response&, const api::Outcome&) override {}
};

api::Response answer_of(api::Handler& handler, std::size_t listener, const std::string& target,
                        const std::vector<std::pair<std::string, std::string>>& headers = {}) {
  asio::io_context io;
  api::Request request;
  request.target = target;
  request.listener = listener;
  for (const auto& [name, value] : headers) {
    if (!value.empty()) request.headers.add(name, value);
  }
  api::Response answer;
  auto keep = [&answer](std::exception_ptr, api::Response response) { answer = std::move(response); };
  asio::co_spawn(io, handler.handle(request), keep);
  io.run();
  return answer;
}

config::Settings parsed(std::vector<std::pair<std::string, std::string>> flags) {
  auto settings = config::load({{}, {}, std::move(flags)});
  INFO((settings ? "" : settings.error().message));
  REQUIRE(settings);
  return *settings;
}

}  // namespace

TEST_CASE("a listener serves what it is meant for") {
  auto settings = parsed({{"listeners",
                           "[{address: '127.0.0.1:1'}, {address: '127.0.0.1:2', serve: [registry]}, "
                           "{address: '0.0.0.0:3', serve: [health]}, {address: '0.0.0.0:4', serve: [health, metrics]}]"}});
  Everything everything;
  SystemEntropy entropy;
  server::ListenerGate gate(everything, settings, entropy);
  struct Row {
    std::size_t listener;
    const char* target;
    unsigned status;
  };
  auto row = GENERATE(values<Row>({
      {0, "/v2/", 200},          {0, "/readyz", 200},    {0, "/livez", 200},        {0, "/startupz", 200},
      {1, "/v2/", 200},          {1, "/readyz", 404},    {1, "/livez?verbose", 404}, {1, "/readyz/", 200},
      {2, "/v2/", 404},          {2, "/", 404},          {2, "/api/v1/x", 404},     {2, "/readyz", 200},
      {2, "/readyz?x", 200},     {2, "/readyzz", 404},   {2, "/v2/?/readyz", 404},  {2, "", 404},
      {0, "/metrics", 200},      {1, "/metrics", 404},   {2, "/metrics?x", 404},    {3, "/metrics", 200},
      {3, "/readyz", 200},       {3, "/v2/", 404},       {3, "/metrics/", 404},
      {4, "/v2/", 200},          {4, "/readyz", 200},    {4, "/metrics", 200},  // the local socket
  }));
  CAPTURE(row.listener, row.target);
  const api::Response answer = answer_of(gate, row.listener, row.target);
  CHECK(answer.status == row.status);
  if (answer.status == 200) return;
  const bool registry = std::string_view(row.target).starts_with("/v2/");
  CHECK(answer.headers.get("X-Request-Id").size() == 36);
  CHECK(answer.headers.get("Docker-Distribution-API-Version") == (registry ? "registry/2.0" : ""));
  CHECK(answer.headers.get("X-Content-Type-Options") == "nosniff");
}

TEST_CASE("a listener with names answers to them, the loopback's and the public one alone") {
  auto settings = parsed({{"insecure", "i-know-that-anyone-can-read-and-write-this"},
                          {"public_url", "https://registry.example.com"},
                          {"listeners", "[{address: '0.0.0.0:1', hosts: [berth]}, {address: '0.0.0.0:2'}]"}});
  Everything everything;
  SystemEntropy entropy;
  server::ListenerGate gate(everything, settings, entropy);
  struct Row {
    std::size_t listener;
    const char* target;
    const char* host;
    const char* origin;
    unsigned status;
  };
  const auto row = GENERATE(values<Row>({
      {0, "/v2/", "berth:5000", "", 200},
      {0, "/v2/", "localhost:5000", "", 200},
      {0, "/v2/", "127.0.0.1", "", 200},
      {0, "/v2/", "Registry.example.com", "", 200},
      {0, "/v2/", "evil.example:5000", "", 403},
      {0, "/v2/", "localhost:5000", "http://evil.example", 403},
      {0, "/readyz", "10.1.2.3:5000", "", 200},
      {0, "/metrics", "10.1.2.3:5000", "", 200},
      {1, "/v2/", "evil.example:5000", "http://evil.example", 200},
  }));
  CAPTURE(row.listener, row.target, row.host, row.origin);
  CHECK(answer_of(gate, row.listener, row.target, {{"Host", row.host}, {"Origin", row.origin}}).status == row.status);
}

TEST_CASE("the largest answer fits into the memory of connections, whatever that is set to") {
  const auto memory_of = [](std::vector<std::pair<std::string, std::string>> flags) {
    return server::server_options(parsed(std::move(flags))).memory_bytes_max;
  };
  CHECK(memory_of({}) == 128 << 20);
  CHECK(memory_of({{"limits.connection_memory", "8MiB"}}) == 8 << 20);
  CHECK(memory_of({{"limits.connection_memory", "8MiB"}, {"limits.manifest_size", "64MiB"}}) > 64 << 20);
  CHECK(memory_of({{"limits.connection_memory", "8MiB"}, {"limits.page_entries", "10000"}}) >= 8 << 20);
}

TEST_CASE("connections leave descriptors for the index") {
  struct Row {
    std::size_t files_max, index_max, connections_max;
  };
  const auto row = GENERATE(values<Row>({{65'536, 512, 48'720}, {4'096, 512, 2'640}, {1'024, 256, 528}, {256, 64, 96}, {64, 16, 16}}));
  const auto shares = server::share_files(row.files_max);
  CHECK(shares.index_max == row.index_max);
  CHECK(shares.connections_max == row.connections_max);
}

TEST_CASE("settings reach the parts they are for") {
  auto settings = parsed({{"insecure", "i-know-that-anyone-can-read-and-write-this"},
                          {"listeners", "[{address: 'localhost:1'}, {address: '0.0.0.0:2'}, {address: '[::1]:3'}]"},
                          {"public_url", "https://registry.example.com:8443"},
                          {"limits.page_entries", "50"},
                          {"limits.manifest_size", "64MiB"},
                          {"limits.rate_window", "10s"},
                          {"limits.rate_min", "2KiB"},
                          {"limits.drain_timeout", "1500ms"},
                          {"limits.blob_size", "1GiB"},
                          {"collection.grace", "1m"},
                          {"undo.window", "2m"},
                          {"data.inline_limit", "1KiB"},
                          {"data.directory", "/d"}});
  auto server = server::server_options(settings);
  REQUIRE(server.listeners.size() == 3);
  CHECK(server.listeners[0].address == "127.0.0.1");
  CHECK(server.listeners[0].loopback);
  CHECK_FALSE(server.listeners[1].loopback);
  CHECK(server.listeners[2].address == "::1");
  CHECK(server.listeners[2].loopback);
  CHECK(server.rate_bytes == 20 << 10);
  CHECK(server.drain_timeout == 2s);

  auto service = server::service_options(settings);
  CHECK(service.page_entries_max == 50);
  CHECK(service.catalog_page_default == 50);
  CHECK(service.manifest_bodies_bytes_max >= service.manifest_bytes_max);
  CHECK(service.allowed_hosts == std::vector<std::string>{"registry.example.com"});

  auto registry = server::registry_options(settings);
  CHECK(registry.inline_bytes_max == 1024);
  CHECK(registry.blob_bytes_max == 1u << 30);
  CHECK(registry.collection_grace == 1min);
  CHECK(registry.undo_window == 2min);
  CHECK(server::ballast_options(settings).directory == "/d");
}

TEST_CASE("the host of a public address") {
  struct Row {
    const char* url;
    const char* host;
  };
  auto row = GENERATE(values<Row>({{"http://a", "a"}, {"https://a.b:1", "a.b"}, {"https://[::1]", "[::1]"}, {"https://[::2]:5", "[::2]"}}));
  CAPTURE(row.url);
  CHECK(server::service_options(parsed({{"public_url", row.url}})).allowed_hosts == std::vector<std::string>{row.host});
}

TEST_CASE("threads follow the cores unless they are set") {
  CHECK(server::thread_counts({}, 0).disk == 8);
  CHECK(server::thread_counts({}, 2).cpu == 2);
  CHECK(server::thread_counts({}, 16).disk == 64);
  auto settings = parsed({{"threads.disk", "3"}, {"threads.cpu", "5"}});
  CHECK(server::thread_counts(settings, 16).disk == 3);
  CHECK(server::thread_counts(settings, 16).cpu == 5);
}

TEST_CASE("an I/O thread with nothing to do lets go of the state that it read last") {
  auto options = server::server_options(parsed({}));
  REQUIRE(options.on_tick);
  auto store = kv::make_memory_store({{"family", kv::Access::point}});
  kv::ViewSource views;
  views.publish(store->view().value());
  const std::weak_ptr<const kv::View> old = views.current();
  views.publish(store->view().value());
  CHECK(!old.expired());
  options.on_tick();
  CHECK(old.expired());
}
