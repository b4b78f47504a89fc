#include "server/trace_exporter.h"

#include <zlib.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "server/trace_options.h"
#include "tests/support/http_peer.h"
#include "tests/support/scrape.h"
#include "tests/support/seeded_entropy.h"
#include "tests/support/test_authority.h"
#include "tests/unit/config/config_file.h"

namespace berth::server {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using Steady = std::chrono::steady_clock;

TraceExporterOptions quick(const HttpPeer& collector) {
  TraceExporterOptions options;
  options.url = collector.url("/v1/traces");
  options.interval = 20ms;
  options.timeout = 2s;
  options.pause_first = 10ms;
  options.pause_max = 20ms;
  options.asked_pause_max = 100ms;
  options.resource.service_version = "1.2.3";
  return options;
}

void give(TraceExporter& exporter, int count, const std::string& name = "GET") {
  for (int i = 0; i < count; ++i) {
    auto span = std::make_unique<trace::SpanRecord>();
    span->trace_id.fill(1);
    span->span_id.fill(2);
    span->name = name + std::to_string(i);
    exporter.take(std::move(span));
  }
}

bool eventually(const std::function<bool()>& holds) {
  for (const auto end = Steady::now() + 10s; Steady::now() < end; std::this_thread::sleep_for(2ms))
    if (holds()) return true;
  return holds();
}

const Json& spans_of(const Json& batch) { return batch["resourceSpans"][0]["scopeSpans"][0]["spans"]; }

std::string spans(const char* result) { return std::string("berth_trace_spans_total{result=\"") + result + "\"}"; }

struct World {
  berth::test::SeededEntropy entropy{9};
  berth::test::Changes changes;
};

TEST_CASE("spans arrive in batches, each once") {
  World world;
  HttpPeer collector([](const PeerRequest&) { return PeerReply{.body = "{}"}; });
  auto options = quick(collector);
  options.batch_max = 10;
  TraceExporter exporter(options, world.entropy);
  give(exporter, 25);
  REQUIRE(eventually([&] { return world.changes.of(spans("sent")) == 25; }));
  std::vector<std::string> names;
  for (const auto& request : collector.requests()) {
    CHECK(request.method == "POST");
    CHECK(request.target == "/v1/traces");
    CHECK(request.head.find("Content-Type: application/json\r\n") != std::string::npos);
    CHECK(request.head.find("traceparent") == std::string::npos);  // what tells of traces has none
    const Json batch = Json::parse(request.body);
    CHECK(spans_of(batch).size() <= 10);
    CHECK(batch["resourceSpans"][0]["resource"]["attributes"][1]["value"]["stringValue"] == "1.2.3");
    for (const Json& span : spans_of(batch)) names.push_back(span["name"]);
  }
  std::vector<std::string> all;
  for (int i = 0; i < 25; ++i) all.push_back("GET" + std::to_string(i));
  CHECK(names == all);
  CHECK(collector.connections() == 1);
}

TEST_CASE("what may pass is tried again, what may not is given up on") {
  struct Row {
    const char* name;
    std::vector<PeerReply> replies;  ///< the last one again and again
    std::size_t tries;
    const char* result;
  };
  const std::vector<Row> rows = {
      {"429, then good", {{.status = 429, .headers = "Retry-After: 0\r\n"}, {.status = 200}}, 2, "sent"},
      {"502, 503 and 504, then good", {{.status = 502}, {.status = 503}, {.status = 504}, {.status = 200}}, 4, "sent"},
      {"a connection that breaks, then good", {{.close_early = true}, {.status = 200}}, 2, "sent"},
      {"503 for ever", {{.status = 503}}, 5, "failed"},
      {"400", {{.status = 400}}, 1, "failed"},
      {"401", {{.status = 401}}, 1, "failed"},
      {"500 is not among those that pass", {{.status = 500}}, 1, "failed"},
      {"a redirect", {{.status = 307, .headers = "Location: /elsewhere\r\n"}}, 1, "failed"},
      {"taken without one", {{.body = R"({"partialSuccess":{"rejectedSpans":"3"}})"}}, 1, "rejected"},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    World world;
    std::atomic<std::size_t> asked{0};
    HttpPeer collector([&](const PeerRequest&) { return row.replies[std::min(asked++, row.replies.size() - 1)]; });
    auto options = quick(collector);
    options.interval = 60s;
    options.batch_max = 3;
    TraceExporter exporter(options, world.entropy);
    give(exporter, 3);
    CHECK(eventually([&] { return world.changes.of(spans(row.result)) == 3; }));
    CHECK(asked == row.tries);
    const auto changed = world.changes.all("berth_trace_spans_total");
    CHECK(changed.size() == 1);
  }
}

TEST_CASE("a collector that asks for time gets it, up to a bound") {
  const std::string long_ago = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
  struct Row {
    std::string headers;
    bool waits;
  };
  for (const Row& row : {Row{"Retry-After: 3600\r\n", true}, Row{"Retry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n", true},
                         Row{long_ago + "Retry-After: Sun, 06 Nov 1994 09:49:37 GMT\r\n", true},
                         Row{"Retry-After: Sun, 06 Nov 1994 09:49:37 GMT\r\n", false},  // by our clock, since it names none
                         Row{"Retry-After: tomorrow\r\n", false}}) {
    INFO(row.headers);
    World world;
    std::mutex mutex;
    std::vector<Steady::time_point> times;
    HttpPeer collector([&](const PeerRequest&) {
      const std::lock_guard lock(mutex);
      times.push_back(Steady::now());
      return times.size() == 1 ? PeerReply{.status = 503, .headers = row.headers} : PeerReply{};
    });
    auto options = quick(collector);
    options.asked_pause_max = 500ms;
    TraceExporter exporter(options, world.entropy);
    give(exporter, 1);
    REQUIRE(eventually([&] { return world.changes.of(spans("sent")) == 1; }));
    const std::lock_guard lock(mutex);
    // asked_pause_max, not the 10 ms of the first pause nor an hour
    CHECK((times.at(1) - times.at(0) >= 500ms) == row.waits);
    CHECK(times.at(1) - times.at(0) < 5s);
  }
}

TEST_CASE("a collector is asked once whether it takes spans") {
  std::string body, path;
  HttpPeer collector([&](const PeerRequest& request) {
    body = request.body;
    path = request.target;
    return PeerReply{};
  });
  CHECK(try_collector(quick(collector)).empty());
  CHECK(path == "/v1/traces");
  CHECK(Json::parse(body).at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").empty());
  const HttpPeer closed([](const PeerRequest&) { return PeerReply{.status = 401}; });
  CHECK(try_collector(quick(closed)) == "the collector answers with status 401");
  auto nobody = quick(collector);
  nobody.url = "http://127.0.0.1:1/v1/traces";
  CHECK_THAT(try_collector(nobody), Catch::Contains("127.0.0.1"));
}

TEST_CASE("nobody waits for a collector that hangs: what comes too much is dropped and counted") {
  World world;
  HttpPeer collector([](const PeerRequest&) { return PeerReply{.delay = 60s}; });
  auto options = quick(collector);
  options.queue_max = 50;
  options.batch_max = 10;
  options.timeout = 60s;
  options.stop_max = 100ms;
  TraceExporter exporter(options, world.entropy);
  give(exporter, 10);
  REQUIRE(eventually([&] { return collector.requests().size() == 1; }));
  const auto begun = Steady::now();
  give(exporter, 1000);
  CHECK(Steady::now() - begun < 1s);
  CHECK(world.changes.of(spans("dropped")) == 950);
  CHECK(berth::test::scrape()["berth_trace_queue_spans"] == 50);
  const auto stopping = Steady::now();
  exporter.stop();
  CHECK(Steady::now() - stopping < 3s);
  CHECK(world.changes.of(spans("failed")) == 60);  // nothing is lost without being counted
  CHECK(berth::test::scrape()["berth_trace_queue_spans"] == 0);
  give(exporter, 1);
  CHECK(world.changes.of(spans("dropped")) == 951);
}

TEST_CASE("what is queued when berth ends is still sent, without waiting for company") {
  World world;
  HttpPeer collector([](const PeerRequest&) { return PeerReply{}; });
  auto options = quick(collector);
  options.interval = 60s;
  options.batch_max = 4;
  TraceExporter exporter(options, world.entropy);
  give(exporter, 10);
  const auto begun = Steady::now();
  exporter.stop();
  CHECK(Steady::now() - begun < 3s);
  CHECK(world.changes.of(spans("sent")) == 10);
  exporter.stop();
}

TEST_CASE("a collector that is away is asked a few times, and what was for it is counted") {
  World world;
  HttpPeer another([](const PeerRequest&) { return PeerReply{}; });
  auto options = quick(another);
  options.url = "http://127.0.0.1:" + std::to_string(closed_port()) + "/v1/traces";
  options.interval = 60s;
  options.batch_max = 2;
  TraceExporter exporter(options, world.entropy);
  give(exporter, 2);
  CHECK(eventually([&] { return world.changes.of(spans("failed")) == 2; }));
  CHECK(world.changes.of("berth_trace_requests_total{result=\"again\"}") == 5);
}

std::string unpacked(const std::string& packed) {
  std::string text(1 << 20, '\0');
  z_stream stream{};
  REQUIRE(::inflateInit2(&stream, 15 + 16) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int ended = ::inflate(&stream, Z_FINISH);
  text.resize(stream.total_out);
  ::inflateEnd(&stream);
  REQUIRE(ended == Z_STREAM_END);
  return text;
}

TEST_CASE("over TLS, compressed, with the headers of now") {
  World world;
  const TestFolder folder;
  const TestAuthority authority;
  HttpPeer collector([](const PeerRequest&) { return PeerReply{}; }, &authority);
  auto options = quick(collector);
  options.gzip = true;
  options.headers_file = folder.path("headers");
  const auto write = [&](const char* text) { std::ofstream(options.headers_file) << text; };
  write("# of the collector\nAuthorization: Bearer first\n\nX-Tenant:  a b \r\n");
  SECTION("a collector that nobody vouches for") {
    TraceExporter exporter(options, world.entropy);
    give(exporter, 1);
    CHECK(eventually([&] { return world.changes.of(spans("failed")) == 1; }));
    CHECK(collector.requests().empty());
  }
  SECTION("one that the given authority vouches for") {
    options.ca_file = authority.root();
    TraceExporter exporter(options, world.entropy);
    give(exporter, 1);
    REQUIRE(eventually([&] { return world.changes.of(spans("sent")) == 1; }));
    write("Authorization: Bearer second\n");
    give(exporter, 1);
    REQUIRE(eventually([&] { return world.changes.of(spans("sent")) == 2; }));
    const auto seen = collector.requests();
    CHECK(seen.at(0).head.find("Authorization: Bearer first\r\n") != std::string::npos);
    CHECK(seen.at(0).head.find("X-Tenant: a b\r\n") != std::string::npos);
    CHECK(seen.at(0).head.find("Content-Encoding: gzip\r\n") != std::string::npos);
    CHECK(spans_of(Json::parse(unpacked(seen.at(0).body))).size() == 1);
    CHECK(seen.at(1).head.find("Authorization: Bearer second\r\n") != std::string::npos);
    std::remove(options.headers_file.c_str());
    give(exporter, 1);
    CHECK(eventually([&] { return world.changes.of(spans("failed")) == 1; }));
    CHECK(collector.requests().size() == 2);  // nothing goes out without them
  }
}

TEST_CASE("files of headers") {
  struct Row {
    const char* name;
    std::string text;
    const char* problem;  ///< "": none
  };
  const std::vector<Row> rows = {
      {"one", "Authorization: Bearer x", ""},
      {"comments alone", "# nothing\n", ""},
      {"no colon", "Authorization\n", ":1: is no line `Name: value`"},
      {"a name that is none", "A: b\nsome thing: x\n", ":2: is no line `Name: value`"},
      {"a name of berth's", "content-type: text/plain\n", ":1: names a header that berth sets itself"},
      {"a control character", "A: b\x01\n", ":1: holds a control character"},
      {"empty", "", ": empty"},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const ConfigFile file(row.text);
    const auto headers = read_headers_file(file.path());
    CHECK(headers.has_value() == (row.problem == std::string_view()));
    if (!headers) CHECK(headers.error().message == file.path() + row.problem);
  }
}

TEST_CASE("what is wrong with settings of traces is said at the start") {
  const ConfigFile headers("Authorization: Bearer x\n");
  struct Row {
    const char* name;
    std::function<void(config::Settings&)> change;
    std::vector<std::string> wrong;  ///< the keys
  };
  const auto endpoint = [](const char* url) { return [url](config::Settings& s) { s.tracing.endpoint = url; }; };
  const std::vector<Row> rows = {
      {"off", [](auto&) {}, {}},
      {"a collector", endpoint("http://127.0.0.1:4318"), {}},
      {"with a path", endpoint("https://otlp.example.com/otlp/"), {}},
      {"an IPv6 address", endpoint("http://[::1]:4318"), {}},
      {"no scheme", endpoint("127.0.0.1:4318"), {"tracing.endpoint"}},
      {"another scheme", endpoint("grpc://127.0.0.1:4317"), {"tracing.endpoint"}},
      {"no host", endpoint("http://"), {"tracing.endpoint"}},
      {"a bad port", endpoint("http://host:70000"), {"tracing.endpoint"}},
      {"a password", endpoint("http://user:secret@host"), {"tracing.endpoint"}},
      {"a query", endpoint("http://host/?key=1"), {"tracing.endpoint"}},
      {"the whole path", endpoint("http://host:4318/v1/traces"), {"tracing.endpoint"}},
      {"headers for nobody", [&](auto& s) { s.tracing.headers_file = headers.path(); }, {"tracing.headers_file"}},
      {"a batch that never fills",
       [](auto& s) { s.tracing.endpoint = "http://h", s.tracing.queue = 16, s.tracing.batch = 17; },
       {"tracing.batch"}},
      {"no name", [](auto& s) { s.tracing.endpoint = "http://h", s.tracing.service_name = ""; }, {"tracing.service_name"}},
      {"files that are not there",
       [](auto& s) { s.tracing.endpoint = "https://h", s.tracing.headers_file = s.tracing.ca = "/nowhere/x"; },
       {"tracing.headers_file", "tracing.ca"}},
      {"an authority without TLS",
       [&](auto& s) { s.tracing.endpoint = "http://h", s.tracing.ca = headers.path(); },
       {"tracing.ca"}},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    config::Settings settings;
    row.change(settings);
    std::vector<config::Finding> findings;
    check_tracing(settings, findings);
    std::vector<std::string> wrong;
    for (const auto& finding : findings) wrong.push_back(finding.path);
    CHECK(wrong == row.wrong);
  }
}

TEST_CASE("headers in clear are told of when they leave the machine") {
  struct Row {
    const char* endpoint;
    bool in_clear;
  };
  for (const Row& row : {Row{"http://127.0.0.1:4318", false}, Row{"http://[::1]:4318/x", false}, Row{"http://localhost", false},
                         Row{"https://otlp.example.com", false}, Row{"http://otlp.example.com", true},
                         Row{"http://10.0.0.1:4318", true}}) {
    INFO(row.endpoint);
    config::Settings settings;
    settings.tracing.endpoint = row.endpoint;
    CHECK_FALSE(tells_headers_in_clear(settings));
    settings.tracing.headers_file = "/etc/berth/headers";
    CHECK(tells_headers_in_clear(settings) == row.in_clear);
    CHECK(trace_exporter_options(settings, "1").url.ends_with("/v1/traces"));
    CHECK(trace_exporter_options(settings, "1").url.find("//v1") == std::string::npos);
  }
}

}  // namespace
}  // namespace berth::server
