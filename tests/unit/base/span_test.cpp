#include "base/span.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>

#include "base/env.h"
#include "tests/support/kept_spans.h"
#include "tests/support/seeded_entropy.h"

namespace berth::trace {
namespace {

struct World {
  explicit World(const Sampling& sampling = {}) : tracer(sampling, entropy, kept) {}
  test::SeededEntropy entropy{1};
  test::KeptSpans kept;
  Tracer tracer;
};

TraceContext client(bool sampled) {
  return *parse_traceparent(std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0") + (sampled ? "1" : "0"));
}

TEST_CASE("who decides whether a request is recorded") {
  struct Row {
    const char* name;
    Sampling sampling;
    std::optional<TraceContext> sent;
    bool recorded;
    bool same_trace;
  };
  const std::vector<Row> rows = {
      {"the client: yes", {.ratio = 0}, client(true), true, true},
      {"the client: no", {.ratio = 1}, client(false), false, true},
      {"nobody: the ratio says all", {.ratio = 1}, std::nullopt, true, false},
      {"nobody: the ratio says none", {.ratio = 0}, std::nullopt, false, false},
      {"a client that is not followed: all", {.ratio = 1, .follow_clients = false}, client(false), true, false},
      {"a client that is not followed: none", {.ratio = 0, .follow_clients = false}, client(true), false, false},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    World world(row.sampling);
    Span span = world.tracer.begin(row.sent, "foo=1");
    CHECK(bool(span) == row.recorded);
    const auto here = span.below().context();
    REQUIRE(here);
    CHECK(here->sampled == row.recorded);
    CHECK((here->trace_id == client(true).trace_id) == row.same_trace);
    CHECK(here->parent_id != client(true).parent_id);
    CHECK(here->parent_id != SpanId{});
    const auto headers = span.below().headers();
    REQUIRE(headers.size() == (row.same_trace ? 2 : 1));
    CHECK(headers[0] == std::pair<std::string, std::string>("traceparent", format_traceparent(*here)));
    if (row.same_trace) CHECK(headers[1] == std::pair<std::string, std::string>("tracestate", "foo=1"));
    span.end();
    REQUIRE(world.kept.size() == (row.recorded ? 1 : 0));
    if (!row.recorded) continue;
    const SpanRecord& told = world.kept.at(0);
    CHECK(told.kind == Kind::server);
    CHECK(told.span_id == here->parent_id);
    CHECK(told.parent_is_remote == row.same_trace);
    CHECK(told.parent_id == (row.same_trace ? client(true).parent_id : SpanId{}));
    CHECK(told.state == (row.same_trace ? "foo=1" : ""));
  }
}

TEST_CASE("the ratio is of the traces, and every server chooses the same ones") {
  test::SeededEntropy entropy(7);
  for (const double ratio : {0.0, 0.01, 0.25, 0.5, 1.0}) {
    constexpr int kTraces = 20'000;
    int chosen = 0;
    for (int i = 0; i < kTraces; ++i) {
      TraceId id{};
      entropy.fill(std::as_writable_bytes(std::span(id)));
      if (!is_sampled(id, ratio)) continue;
      ++chosen;
      CHECK(is_sampled(id, (ratio + 1) / 2));  // whoever takes more takes these too
    }
    CHECK(std::abs(chosen - ratio * kTraces) <= 0.02 * kTraces);
  }
  // The bounds, by the last eight bytes: the first bit of 64 is left out.
  TraceId id{};
  CHECK_FALSE(is_sampled(id, 0));
  CHECK(is_sampled(id, 0.000001));
  id[8] = 0x80;
  CHECK_FALSE(is_sampled(id, 0.5));
  id[8] = 0x7f;
  id[9] = 0xff;
  CHECK(is_sampled(id, 0.5));
}

TEST_CASE("spans below others make a tree with times that fit") {
  World world;
  {
    Span request = world.tracer.begin(std::nullopt, "");
    Span login(request.below(), "authenticate");
    { const Span check(login.below(), Kind::client, "ask directory"); }
    login.end();
    login.end();  // once is enough
    const Span other(request.below(), "commit");
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < world.kept.size(); ++i) names.push_back(world.kept.at(i).name);
  CHECK(names == std::vector<std::string>{"ask directory", "authenticate", "commit", "HTTP"});
  const SpanRecord& request = world.kept.at(3);
  CHECK(request.parent_id == SpanId{});
  CHECK(world.kept.at(1).parent_id == request.span_id);
  CHECK(world.kept.at(2).parent_id == request.span_id);
  CHECK(world.kept.at(0).parent_id == world.kept.at(1).span_id);
  CHECK(world.kept.at(0).kind == Kind::client);
  for (std::size_t i = 0; i < world.kept.size(); ++i) {
    const SpanRecord& span = world.kept.at(i);
    CHECK(span.trace_id == request.trace_id);
    CHECK(span.begun <= span.ended);
    CHECK(span.begun >= request.begun);
    CHECK(span.ended <= request.ended);
    CHECK_FALSE(span.parent_is_remote);
  }
}

TEST_CASE("what is said of a span is bounded, and nothing is said of one that is not recorded") {
  World world;
  Span span = world.tracer.begin(std::nullopt, "");
  span.set("text", std::string(10'000, 'x'));
  span.set("number", 12);
  span.fail("500");
  for (std::size_t i = 0; i < 100; ++i) span.set("more", 1);
  span.end();
  span.set("late", 1);
  const SpanRecord& told = world.kept.at(0);
  CHECK(told.failed);
  CHECK(told.attributes.size() == kAttributesMax);
  CHECK(told.attributes[0] == Attribute{"text", std::string(kValueBytesMax, 'x')});
  CHECK(told.attributes[1] == Attribute{"number", 12});
  CHECK(told.attributes[2] == Attribute{"error.type", "500"});

  Span none;
  none.set("text", "x");
  none.set_name("x");
  none.fail("x");
  none.end();
  const Span below(none.below(), "below nothing");
  CHECK_FALSE(none);
  CHECK_FALSE(below);
  CHECK_FALSE(below.below());
  CHECK(below.below().headers().empty());
  CHECK(world.kept.size() == 1);
}

TEST_CASE("below a request that is not sampled others still hear of its trace") {
  World world({.ratio = 0});
  const Span request = world.tracer.begin(std::nullopt, "");
  const Span ask(request.below(), Kind::client, "GET");
  CHECK_FALSE(ask);
  CHECK(ask.below().headers() == request.below().headers());
  CHECK(ask.below().headers().at(0).second.ends_with("-00"));
  CHECK(world.kept.size() == 0);
}

TEST_CASE("a parent may outlive its request, and end its spans on other threads") {
  World world;
  std::vector<std::thread> threads;
  {
    const Span request = world.tracer.begin(client(true), "");
    for (int i = 0; i < 4; ++i) {
      auto work = [parent = request.below()] {
        for (int n = 0; n < 100; ++n) Span(parent, "work").set("n", n);
      };
      threads.emplace_back(std::move(work));
    }
  }
  for (auto& thread : threads) thread.join();
  REQUIRE(world.kept.size() == 401);
  std::vector<SpanId> ids;
  for (std::size_t i = 0; i < world.kept.size(); ++i) ids.push_back(world.kept.at(i).span_id);
  std::sort(ids.begin(), ids.end());
  CHECK(std::unique(ids.begin(), ids.end()) == ids.end());
}

}  // namespace
}  // namespace berth::trace
