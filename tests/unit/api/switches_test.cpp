// What is switched while berth runs, as clients, operators and the log see it.
#include "api/switches.h"

#include <sys/mman.h>
#include <unistd.h>

#include "api/access_log.h"
#include "base/log.h"
#include "tests/unit/api/admin_world.h"

namespace berth::api::test {
namespace {

using namespace std::chrono_literals;

ServiceOptions with(Switches& switches) {
  ServiceOptions options;
  options.switches = &switches;
  return options;
}

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST_CASE("a read-only registry refuses what changes content, and nothing else") {
  Switches switches(true, true, 5s);
  CHECK(switches.pause()->on());
  Exchange x(with(switches));
  x.lifecycle.started = true;
  struct Row {
    Method method;
    std::string target;
    bool refused;
  };
  const std::vector<Row> rows = {
      {Method::put, "/v2/a/manifests/1", true},
      {Method::delete_, "/v2/a/manifests/1", true},
      {Method::post, "/v2/a/blobs/uploads/", true},
      {Method::patch, "/v2/a/blobs/uploads/u", true},
      {Method::put, "/v2/a/blobs/uploads/u?digest=" + kDigest, true},
      {Method::delete_, "/v2/a/blobs/uploads/u", true},
      {Method::delete_, "/v2/a/blobs/" + kDigest, true},
      {Method::get, "/v2/", false},
      {Method::get, "/v2/a/manifests/1", false},
      {Method::get, "/v2/a/blobs/" + kDigest, false},
      {Method::head, "/v2/a/blobs/" + kDigest, false},
      {Method::get, "/v2/a/tags/list", false},
      {Method::get, "/v2/a/blobs/uploads/u", false},
      {Method::get, "/livez", false},
  };
  for (const Row& row : rows) {
    INFO(to_string(row.method) << " " << row.target);
    x.send(row.method, row.target);
    CHECK((x.text().find("read-only") != std::string::npos) == row.refused);
    if (!row.refused) continue;
    CHECK(x.response.status == 405);
    CHECK(x.code() == "UNSUPPORTED");
    CHECK(x.body_reads == 0);
  }
  CHECK(x.send(Method::get, "/readyz").status == 200);
  CHECK(x.text() == "ok, read-only\n");

  switches.set_read_only(false, "user:ann", WallTime{1s});
  CHECK_FALSE(switches.pause()->on());
  for (const Row& row : rows) {
    INFO(to_string(row.method) << " " << row.target);
    x.send(row.method, row.target);
    CHECK(x.text().find("read-only") == std::string::npos);
  }
  CHECK(x.send(Method::get, "/readyz").status == 200);
  CHECK(x.text() == "ok\n");
}

TEST_CASE("read-only is switched over the api, and says since when and by whom") {
  AdminWorld x;
  x.root();
  CHECK(x.get("/api/v1/read-only") == 503);  // a server without switches
  Switches switches(false, true, 5s);
  x.options.switches = &switches;
  REQUIRE(x.get("/api/v1/read-only") == 200);
  CHECK(x.json == Json({{"read_only", false}, {"by", nullptr}, {"since", nullptr}}));
  REQUIRE(x.put("/api/v1/read-only", {{"read_only", true}}) == 200);
  CHECK(x.json["read_only"] == true);
  CHECK(x.json["by"] == "user:root");
  CHECK(x.json["since"].get<std::string>().size() > 10);
  const Json first = x.json;
  CHECK(switches.read_only());
  CHECK(switches.pause()->on());
  x.clock.advance(10s);
  REQUIRE(x.put("/api/v1/read-only", {{"read_only", true}}) == 200);
  CHECK(x.json == first);  // it was so already
  for (const Json& wrong : {Json::object(), Json({{"read_only", "yes"}}), Json({{"read_only", true}, {"why", "?"}})}) {
    CHECK(x.put("/api/v1/read-only", wrong) == 400);
  }
  CHECK(switches.read_only());
  REQUIRE(x.put("/api/v1/read-only", {{"read_only", false}}) == 200);
  CHECK_FALSE(switches.read_only());
  CHECK_FALSE(switches.pause()->on());
}

/// Where the log goes instead of standard error; ends it before it closes.
class Captured {
 public:
  explicit Captured(log::Level level) : file_(::memfd_create("log", MFD_CLOEXEC)) {
    REQUIRE(file_ >= 0);
    log::setup(level, log::Format::json, file_);
  }
  ~Captured() {
    log::shutdown();
    ::close(file_);
    log::set_level(log::Level::warning);
  }
  /// The lines so far.
  std::vector<Json> lines() const {
    REQUIRE(log::flush());
    std::string text(static_cast<std::size_t>(::lseek(file_, 0, SEEK_END)), '\0');
    REQUIRE(::pread(file_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    std::vector<Json> found;
    for (std::size_t at = 0; at < text.size();) {
      const auto end = text.find('\n', at);
      found.push_back(Json::parse(text.substr(at, end - at)));
      at = end + 1;
    }
    return found;
  }

 private:
  int file_;
};

TEST_CASE("the log level is switched over the api") {
  AdminWorld x;
  x.root();
  const Captured log(log::Level::warning);
  REQUIRE(x.get("/api/v1/log-level") == 200);
  CHECK(x.json == Json({{"level", "warning"}}));
  for (const char* level : {"debug", "error", "trace", "info"}) {
    REQUIRE(x.put("/api/v1/log-level", {{"level", level}}) == 200);
    CHECK(x.json == Json({{"level", level}}));
    CHECK(log::to_string(log::level()) == level);
  }
  CHECK(x.put("/api/v1/log-level", {{"level", "loud"}}) == 400);
  CHECK(x.message().find("one of trace, debug, info, warning, error") != std::string::npos);
  CHECK(x.put("/api/v1/log-level", Json::object()) == 400);
  CHECK(log::level() == log::Level::info);
  const auto lines = log.lines();
  REQUIRE(lines.size() >= 3);
  CHECK(lines.front()["msg"] == "the log level was switched");
  CHECK(lines.front()["before"] == "warning");
  CHECK(lines.front()["after"] == "debug");
  CHECK(lines.front()["by"] == "user:root");
}

Request request_with_secrets() {
  Request request;
  request.id = "r-1";
  request.method_text = "GET";
  request.operation = "get_manifest";
  request.target = "/v2/a/manifests/1?token=SECRET";
  request.headers.add("Authorization", "Bearer SECRET");
  request.headers.add("Cookie", "SECRET");
  request.headers.add("User-Agent", "docker/24" + std::string(500, 'x'));
  request.peer_address = "10.0.0.1";
  return request;
}

TEST_CASE("a request's line says what it moved and how long it took, and no secret") {
  const Captured log(log::Level::trace);
  Response response;
  log_access(request_with_secrets(), response,
             {.received = 12, .sent = 345, .complete = true, .until_answer = 1500us, .elapsed = 2s});
  const auto lines = log.lines();
  REQUIRE(lines.size() == 1);
  const Json& line = lines.front();
  CHECK_FALSE(line.contains("trace_id"));
  CHECK(line["path"] == "/v2/a/manifests/1");
  CHECK(line["bytes"] == 345);
  CHECK(line["received"] == 12);
  CHECK(line["ttfb_ms"] == 1.5);
  CHECK(line["duration_ms"] == 2000.0);
  CHECK(line["user_agent"].get<std::string>().size() == 128);
  CHECK(line.dump().find("SECRET") == std::string::npos);
}

TEST_CASE("a request's line has no words for what was not there") {
  const Captured log(log::Level::trace);
  Request request = request_with_secrets();
  log_access(request, Response{}, {.received = 0, .sent = 1});
  request.principal = request.credential = "anonymous";
  log_access(request, Response{}, {.received = 0, .sent = 1});
  request.principal = "user:alice";
  request.credential = "password";
  log_access(request, Response{}, {.received = 1, .sent = 1});
  const auto lines = log.lines();
  REQUIRE(lines.size() == 3);
  for (const char* name : {"received", "principal", "credential"}) CHECK_FALSE(lines[0].contains(name));
  CHECK(lines[1]["principal"] == "anonymous");
  CHECK_FALSE(lines[1].contains("credential"));
  CHECK(lines[2]["principal"] == "user:alice");
  CHECK(lines[2]["credential"] == "password");
  CHECK(lines[2]["received"] == 1);
}

TEST_CASE("a request's line stays whole whatever the client chose") {
  const Captured log(log::Level::trace);
  Request request = request_with_secrets();
  request.headers = {};
  request.headers.add("User-Agent", std::string(500, '\x01'));
  request.headers.add("X-Request-Id", std::string(64, 'i'));
  request.target = "/" + std::string(30'000, '"');
  request.method_text = std::string(100, '\\');
  request.principal = "federated:" + std::string(500, '"');
  request.credential = "token";
  Response response;
  response.log_detail = std::string(5000, '\n');
  log_access(request, response, {.received = 1, .sent = 2, .complete = false});
  const auto lines = log.lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0]["path"] == request.target);
  CHECK(lines[0]["detail"] == response.log_detail);
  CHECK(lines[0]["complete"] == false);
  CHECK(lines[0]["client_request_id"].get<std::string>().size() == 64);
}

TEST_CASE("a request's line names the trace that its client began, if it is one") {
  const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  Exchange x;
  struct Row {
    std::vector<std::pair<std::string, std::string>> headers;
    bool taken;
  };
  const std::vector<Row> rows = {{{{"traceparent", good}}, true},
                                 {{{"TraceParent", good}}, true},
                                 {{}, false},
                                 {{{"traceparent", "00-SECRET"}}, false},
                                 {{{"traceparent", good}, {"traceparent", good}}, false}};
  for (const Row& row : rows) {
    const Captured log(log::Level::info);
    Request request = request_with_secrets();
    for (const auto& [name, value] : row.headers) request.headers.add(name, value);
    FakeBody body(x.pool, {});
    request.body = &body;
    asio::io_context io;
    auto run = [&]() -> asio::awaitable<void> { (void)co_await x.service->handle(request); };
    asio::co_spawn(io, run, asio::detached);
    io.run();
    x.service->finished(request, Response{}, {.complete = true});
    const auto lines = log.lines();
    REQUIRE(lines.size() == 1);
    REQUIRE(lines.front().contains("trace_id") == row.taken);
    CHECK(lines.front().dump().find("SECRET") == std::string::npos);
    if (!row.taken) continue;
    CHECK(lines.front()["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736");
    CHECK(lines.front()["parent_id"] == "00f067aa0ba902b7");
  }
}

TEST_CASE("a slow answer says what it waited for, also when requests get no line") {
  struct Row {
    const char* waited_for;
    Timeline timeline;
  };
  const std::vector<Row> rows = {
      {"auth", {.auth = 4s, .client_wait = 1s, .memory_wait = 0s}},
      {"client", {.auth = 1s, .client_wait = 4s, .memory_wait = 0s}},
      {"memory", {.auth = 1s, .client_wait = 0s, .memory_wait = 4s}},
      {"registry", {.auth = 1s, .client_wait = 0s, .memory_wait = 0s}},
      {"write", {.registry = {.write = 5s, .hash = 1ms}}},
      {"hash", {.client_wait = 2s, .registry = {.hash = 3s, .file = 1ms, .commit = 1ms}}},
      {"file", {.registry = {.hash = 1s, .file = 4s, .commit = 1s}}},
      {"commit", {.auth = 1s, .registry = {.hash = 0s, .file = 1s, .commit = 3s}}},
      {"registry", {.registry = {.hash = 1s, .file = 1s, .commit = 1s}}},
      {"queue", {.auth = 1s, .registry = {.queue = 4s, .read = 1s}}},
      {"read", {.registry = {.queue = 1s, .read = 4s}}},
  };
  Switches switches(false, false, 5s);
  Exchange x(with(switches));
  for (const Row& row : rows) {
    CAPTURE(row.waited_for);
    const Captured log(log::Level::info);
    Request request = request_with_secrets();
    request.timeline = row.timeline;
    Response response;
    x.service->finished(request, response, {.complete = true, .until_answer = 6s, .elapsed = 7s});
    x.service->finished(request, response, {.complete = true, .until_answer = 5s, .elapsed = 7s});  // not later than 5 s
    const auto lines = log.lines();
    REQUIRE(lines.size() == 1);
    CHECK(lines.front()["msg"] == "a request was slow to answer");
    CHECK(lines.front()["waited_for"] == row.waited_for);
    CHECK(lines.front()["ttfb_ms"] == 6000.0);
    double all = 0;
    for (const char* part : {"auth", "client", "memory", "queue", "read", "write", "hash", "file", "commit", "registry"}) {
      const double took = lines.front().value(std::string(part) + "_ms", 0.0);
      CHECK((took > 0 || !lines.front().contains(std::string(part) + "_ms")));
      all += took;
    }
    CHECK(all == 6000.0);
    CHECK(lines.front().dump().find("SECRET") == std::string::npos);
  }
}

TEST_CASE("an answer whose bytes came late from the disk is told of, however soon it began") {
  Switches switches(false, false, 5s);
  Exchange x(with(switches));
  const Captured log(log::Level::info);
  const Request request = request_with_secrets();
  const Outcome soon{.complete = true, .until_answer = 1s, .elapsed = 60s, .disk_wait = 6s};
  x.service->finished(request, Response{}, soon);
  x.service->finished(request, Response{}, {.complete = true, .until_answer = 1s, .elapsed = 60s, .disk_wait = 5s});
  const auto lines = log.lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines.front()["waited_for"] == "disk");
  CHECK(lines.front()["disk_ms"] == 6000.0);
  CHECK(lines.front()["ttfb_ms"] == 1000.0);
  CHECK(lines.front()["registry_ms"] == 1000.0);
}

TEST_CASE("what a request waited for within the registry is known when it ends") {
  Exchange x;
  x.registry.get_wait = 2s;
  x.registry.put_wait = 3s;
  x.send(Method::put, "/v2/a/manifests/1",
         {.headers = {{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}}, .body = {"{}"}});
  REQUIRE(x.response.status == 201);
  CHECK(x.timeline.registry.commit == 3s);
  CHECK(x.timeline.registry.read == 0s);
  x.send(Method::get, "/v2/a/manifests/1");
  CHECK(x.timeline.registry.read == 2s);
  CHECK(x.timeline.registry.commit == 0s);
}

TEST_CASE("the access log can be switched off, but for what the server did wrong") {
  Switches switches(false, true, 0s);
  Exchange x(with(switches));
  const Captured log(log::Level::info);
  Request request = request_with_secrets();
  const Outcome late{.complete = true, .until_answer = 1h, .elapsed = 1h};  // no threshold: nothing is slow
  Response good, bad;
  bad.status = 500;
  x.service->finished(request, good, late);
  CHECK(log.lines().size() == 1);
  switches.set_access_log(false);
  x.service->finished(request, good, late);
  CHECK(log.lines().size() == 1);
  x.service->finished(request, bad, late);
  CHECK(log.lines().size() == 2);
}

}  // namespace
}  // namespace berth::api::test
