#include "api/request_trace.h"

#include <catch2/catch.hpp>

#include "tests/support/kept_spans.h"
#include "tests/support/seeded_entropy.h"
#include "tests/unit/api/exchange.h"

namespace berth::api {
namespace {

using namespace std::chrono_literals;
using berth::test::KeptSpans;
using berth::test::said;
using trace::SpanRecord;

const std::string kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A service whose requests have spans.
struct World {
  explicit World(const trace::Sampling& sampling = {}) : tracer(sampling, entropy, kept) {
    ServiceOptions options;
    options.tracer = &tracer;
    exchange.emplace(std::move(options));
  }

  /// One request from its head to the end of its answer.
  void send(Request& request, const Outcome& outcome = {.complete = true}) {
    test::FakeBody body(exchange->pool, {});
    request.body = &body;
    Response response;
    asio::io_context io;
    auto run = [&]() -> asio::awaitable<void> { response = co_await exchange->service->handle(request); };
    asio::co_spawn(io, run, asio::detached);
    io.run();
    exchange->service->finished(request, response, outcome);
  }

  berth::test::SeededEntropy entropy{5};
  KeptSpans kept;
  trace::Tracer tracer;
  std::optional<test::Exchange> exchange;
};

Request request(std::string target, Method method = Method::get) {
  Request made;
  made.method = method;
  made.method_text = method == Method::other ? "BREW" : std::string(to_string(method));
  made.target = std::move(target);
  made.peer_address = "10.0.0.1";
  made.headers.add("Host", "registry.example.com:8443");
  made.headers.add("User-Agent", "docker/24");
  made.headers.add("Authorization", "Bearer SECRET");
  return made;
}

TEST_CASE("a request's span has the words of OpenTelemetry's conventions, and no secret") {
  World world;
  Request asked = request("/v2/team/app/manifests/1?token=SECRET");
  asked.headers.add("traceparent", kParent);
  asked.headers.add("tracestate", "foo=1");
  world.send(asked, {.received = 3, .sent = 45, .complete = true, .until_answer = 1500us, .elapsed = 2ms});
  REQUIRE(world.kept.size() == 1);
  const SpanRecord& span = world.kept.at(0);
  CHECK(span.name == "GET /v2/{name}/manifests/{reference}");
  CHECK(span.kind == trace::Kind::server);
  CHECK(trace_hex(span.trace_id) == "4bf92f3577b34da6a3ce929d0e0e4736");
  CHECK(trace_hex(span.parent_id) == "00f067aa0ba902b7");
  CHECK(span.parent_is_remote);
  CHECK(span.state == "foo=1");
  CHECK(said(span, "http.request.method") == "GET");
  CHECK(said(span, "http.route") == "/v2/{name}/manifests/{reference}");
  CHECK(said(span, "url.path") == "/v2/team/app/manifests/1");
  CHECK(said(span, "url.scheme") == "http");
  CHECK(said(span, "http.response.status_code") == "404");
  CHECK(said(span, "http.request.body.size") == "3");
  CHECK(said(span, "http.response.body.size") == "45");
  CHECK(said(span, "client.address") == "10.0.0.1");
  CHECK(said(span, "server.address") == "registry.example.com");
  CHECK(said(span, "server.port") == "8443");
  CHECK(said(span, "user_agent.original") == "docker/24");
  CHECK(said(span, "berth.request_id") == asked.id);
  CHECK(said(span, "berth.operation") == "get_manifest");
  CHECK(said(span, "berth.response_start_us") == "1500");
  CHECK_FALSE(span.failed);  // the client's mistake
  for (const auto& attribute : span.attributes) CHECK(said(span, attribute.key).find("SECRET") == std::string::npos);
}

TEST_CASE("a span is named by what is asked for, never by a path") {
  struct Row {
    const char* name;
    Request asked;
    const char* span;
    const char* route;
    const char* method;
  };
  Row rows[] = {
      {"a route", request("/v2/"), "GET /v2/", "/v2/", "GET"},
      {"a method that it does not take", request("/v2/", Method::delete_), "DELETE /v2/", "/v2/", "DELETE"},
      {"no such path", request("/nothing/here"), "GET", "-", "GET"},
      {"a method that nobody knows", request("/nothing/here", Method::other), "HTTP", "-", "_OTHER"},
      {"one at a path that is there", request("/v2/", Method::other), "HTTP /v2/", "/v2/", "_OTHER"},
      {"a path that is hostile", request("/v2/%2e%2e/manifests/1"), "GET", "-", "GET"},
  };
  World world;
  for (Row& row : rows) {
    INFO(row.name);
    const std::size_t before = world.kept.size();
    world.send(row.asked);
    REQUIRE(world.kept.size() == before + 1);
    CHECK(world.kept.at(before).name == row.span);
    CHECK(said(world.kept.at(before), "http.route") == row.route);
    CHECK(said(world.kept.at(before), "http.request.method") == row.method);
  }
}

TEST_CASE("which traceparent counts, and for what") {
  struct Row {
    const char* name;
    std::vector<std::string> sent;
    const char* target;
    bool recorded;
    bool same_trace;
  };
  const std::string unsampled = kParent.substr(0, kParent.size() - 1) + "0";
  const std::vector<Row> rows = {
      {"one", {kParent}, "/v2/", true, true},
      {"one that is not sampled", {unsampled}, "/v2/", false, true},
      {"none", {}, "/v2/", true, false},
      {"a bad one", {"00-SECRET"}, "/v2/", true, false},
      {"two", {kParent, kParent}, "/v2/", true, false},
      {"health", {kParent}, "/livez", false, false},
      {"readiness", {kParent}, "/readyz", false, false},
      {"start", {kParent}, "/startupz", false, false},
      {"metrics", {kParent}, "/metrics?x", false, false},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    World world;
    Request asked = request(row.target);
    for (const auto& value : row.sent) asked.headers.add("traceparent", value);
    asked.headers.add("tracestate", "foo=1");
    world.send(asked);
    REQUIRE(world.kept.size() == (row.recorded ? 1 : 0));
    if (!row.recorded) continue;
    CHECK((trace_hex(world.kept.at(0).trace_id) == "4bf92f3577b34da6a3ce929d0e0e4736") == row.same_trace);
    CHECK(world.kept.at(0).state == (row.same_trace ? "foo=1" : ""));
  }
}

TEST_CASE("what a span says of how it ended") {
  struct Row {
    const char* name;
    unsigned status;
    bool complete;
    bool failed;
    const char* code;
    const char* error;
  };
  for (const Row& row : {Row{"good", 200, true, false, "200", "-"}, Row{"the client's mistake", 401, true, false, "401", "-"},
                         Row{"ours", 503, true, true, "503", "503"},
                         Row{"the client hung up", 200, false, false, "200", "client_gone"},
                         Row{"before there was an answer", kNoAnswer, false, false, "-", "client_gone"}}) {
    INFO(row.name);
    World world;
    Request asked = request("/v2/");
    begin_trace(asked, &world.tracer);
    Response response;
    response.status = row.status;
    end_trace(asked, response, {.complete = row.complete});
    REQUIRE(world.kept.size() == 1);
    CHECK(world.kept.at(0).failed == row.failed);
    CHECK(said(world.kept.at(0), "http.response.status_code") == row.code);
    CHECK(said(world.kept.at(0), "error.type") == row.error);
  }
  World world;
  {
    Request cut = request("/v2/");  // its connection dies while it is handled
    begin_trace(cut, &world.tracer);
  }
  CHECK(world.kept.size() == 1);
}

TEST_CASE("without a tracer a request has no span") {
  Request asked = request("/v2/");
  asked.headers.add("traceparent", kParent);
  begin_trace(asked, nullptr);
  name_trace(asked, "/v2/");
  end_trace(asked, {}, {});
  CHECK_FALSE(asked.span);
  CHECK_FALSE(asked.span.below());
  CHECK(asked.trace);
}

TEST_CASE("others are told of the request's span, and without a tracer of the client's as it is") {
  const auto told = [](const Request& asked) { return outbound_trace(asked).headers(); };
  using Headers = std::vector<std::pair<std::string, std::string>>;
  World world;
  for (const trace::Tracer* tracer : {static_cast<const trace::Tracer*>(nullptr), static_cast<const trace::Tracer*>(&world.tracer)}) {
    Request asked = request("/v2/");
    asked.headers.add("traceparent", kParent);
    asked.headers.add("tracestate", "foo=1");
    begin_trace(asked, tracer);
    const auto headers = told(asked);
    REQUIRE(headers.size() == 2);
    CHECK((headers[0].second == kParent) == (tracer == nullptr));
    CHECK(headers[1] == std::pair<std::string, std::string>("tracestate", "foo=1"));
    const trace::Span below(outbound_trace(asked), "below");
    CHECK(static_cast<bool>(below) == (tracer != nullptr));
  }
  Request bare = request("/v2/");
  bare.headers.add("tracestate", "foo=1");
  begin_trace(bare, nullptr);
  CHECK(told(bare) == Headers{});
}

}  // namespace
}  // namespace berth::api
