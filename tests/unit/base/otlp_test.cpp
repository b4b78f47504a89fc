#include "base/otlp.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace berth::trace {
namespace {

using Json = nlohmann::json;

std::unique_ptr<SpanRecord> span(std::string name) {
  auto made = std::make_unique<SpanRecord>();
  made->trace_id.fill(0xab);
  made->span_id.fill(0x01);
  made->name = std::move(name);
  made->begun = Nanoseconds(std::chrono::nanoseconds(1'700'000'000'123'456'789));
  made->ended = made->begun + std::chrono::microseconds(5);
  return made;
}

std::vector<std::unique_ptr<SpanRecord>> list(std::unique_ptr<SpanRecord> one) {
  std::vector<std::unique_ptr<SpanRecord>> spans;
  spans.push_back(std::move(one));
  return spans;
}

TEST_CASE("a batch is written as OTLP's JSON wants it") {
  auto first = span("PUT /v2/{name}/manifests/{reference}");
  first->kind = Kind::server;
  first->parent_id.fill(0xcd);
  first->parent_is_remote = true;
  first->state = "foo=1";
  first->failed = true;
  first->attributes = {{"http.response.status_code", 503}, {"url.path", "/v2/a/manifests/1"}};
  auto spans = list(std::move(first));
  spans.push_back(span("commit"));
  // Numbers of enumerations, hex ids, 64 bits as text: opentelemetry-proto, "JSON Protobuf Encoding".
  CHECK(encode_otlp({.service_name = "berth", .service_version = "1.2.3", .instance = "node-1"}, spans) ==
        R"({"resourceSpans":[{"resource":{"attributes":[)"
        R"({"key":"service.name","value":{"stringValue":"berth"}},)"
        R"({"key":"service.version","value":{"stringValue":"1.2.3"}},)"
        R"({"key":"service.instance.id","value":{"stringValue":"node-1"}}]},)"
        R"("scopeSpans":[{"scope":{"name":"berth","version":"1.2.3"},"spans":[)"
        R"({"traceId":"abababababababababababababababab","spanId":"0101010101010101","traceState":"foo=1",)"
        R"("parentSpanId":"cdcdcdcdcdcdcdcd","flags":769,"name":"PUT /v2/{name}/manifests/{reference}","kind":2,)"
        R"("startTimeUnixNano":"1700000000123456789","endTimeUnixNano":"1700000000123461789",)"
        R"("attributes":[{"key":"http.response.status_code","value":{"intValue":"503"}},)"
        R"({"key":"url.path","value":{"stringValue":"/v2/a/manifests/1"}}],"status":{"code":2}},)"
        R"({"traceId":"abababababababababababababababab","spanId":"0101010101010101","flags":257,"name":"commit",)"
        R"("kind":1,"startTimeUnixNano":"1700000000123456789","endTimeUnixNano":"1700000000123461789",)"
        R"("attributes":[],"status":{}}]}]}]})");
}

TEST_CASE("whatever a client sent, the batch is JSON") {
  auto odd = span("GET");
  const std::string bytes("\0\"\\\n\x7f\xff\xc3\x28 \xe2\x80", 11);
  odd->attributes = {{"user_agent.original", bytes}, {"berth.least", std::numeric_limits<std::int64_t>::min()}};
  const Json read = Json::parse(encode_otlp({}, list(std::move(odd))));
  const Json& attributes = read["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"];
  CHECK(attributes[0]["value"]["stringValue"].get<std::string>().starts_with(std::string("\0\"\\\n\x7f", 5)));
  CHECK(attributes[1]["value"]["intValue"] == "-9223372036854775808");
  CHECK(Json::parse(encode_otlp({}, {}))["resourceSpans"][0]["scopeSpans"][0]["spans"].empty());
}

TEST_CASE("what a collector did not take") {
  struct Row {
    const char* body;
    std::uint64_t rejected;
    const char* message;
  };
  for (const Row& row : {Row{"{}", 0, ""}, Row{"", 0, ""}, Row{"not JSON", 0, ""}, Row{"[]", 0, ""},
                         Row{R"({"partialSuccess":{}})", 0, ""}, Row{R"({"partialSuccess":null})", 0, ""},
                         Row{R"({"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}})", 3, "too old"},
                         Row{R"({"partialSuccess":{"rejectedSpans":4}})", 4, ""},
                         Row{R"({"partialSuccess":{"rejectedSpans":-4,"errorMessage":7}})", 0, ""},
                         Row{R"({"partialSuccess":{"rejectedSpans":"0","errorMessage":"be careful"}})", 0, "be careful"}}) {
    INFO(row.body);
    const auto partial = read_otlp_answer(row.body);
    CHECK(partial.rejected == row.rejected);
    CHECK(partial.message == row.message);
  }
}

}  // namespace
}  // namespace berth::trace
