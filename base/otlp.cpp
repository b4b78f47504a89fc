#include "base/otlp.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/strict_json.h"

namespace berth::trace {
namespace {

/// SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK and SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK, above the flags of Trace Context.
constexpr unsigned kRemoteIsKnown = 0x100;
constexpr unsigned kIsRemote = 0x200;
constexpr unsigned kSampled = 1;
constexpr int kStatusError = 2;

/// Writes one object or array at a time, with the commas between its members.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void open(char bracket) { out_ += bracket, first_ = true; }
  void close(char bracket) { out_ += bracket, first_ = false; }
  void next() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  /// Names are words of this file.
  void name(std::string_view name) {
    next();
    out_.append("\"").append(name).append("\":");
  }
  void text(std::string_view key, std::string_view value) {
    name(key);
    append_json_string(out_, value);
  }
  void number(std::string_view key, std::int64_t value) {
    name(key);
    fmt::format_to(std::back_inserter(out_), "{}", value);
  }
  /// 64 bits are more than a JSON number holds, so they are text.
  void large(std::string_view key, std::int64_t value) {
    name(key);
    fmt::format_to(std::back_inserter(out_), "\"{}\"", value);
  }

 private:
  std::string& out_;
  bool first_ = true;
};

struct WriteValue {
  Writer& json;
  void operator()(const std::string& text) const { json.text("stringValue", text); }
  void operator()(std::int64_t number) const { json.large("intValue", number); }
};

void write_attribute(Writer& json, const Attribute& attribute) {
  json.next();
  json.open('{');
  json.text("key", attribute.key);
  json.name("value");
  json.open('{');
  std::visit(WriteValue{json}, attribute.value);
  json.close('}');
  json.close('}');
}

void write_attributes(Writer& json, std::span<const Attribute> attributes) {
  json.name("attributes");
  json.open('[');
  for (const Attribute& attribute : attributes) write_attribute(json, attribute);
  json.close(']');
}

void write_span(Writer& json, const SpanRecord& span) {
  const bool has_parent = std::any_of(span.parent_id.begin(), span.parent_id.end(), [](auto byte) { return byte != 0; });
  json.next();
  json.open('{');
  json.text("traceId", trace_hex(span.trace_id));
  json.text("spanId", trace_hex(span.span_id));
  if (!span.state.empty()) json.text("traceState", span.state);
  if (has_parent) json.text("parentSpanId", trace_hex(span.parent_id));
  json.number("flags", kSampled | kRemoteIsKnown | (span.parent_is_remote ? kIsRemote : 0));
  json.text("name", span.name);
  json.number("kind", static_cast<int>(span.kind));
  json.large("startTimeUnixNano", span.begun.time_since_epoch().count());
  json.large("endTimeUnixNano", span.ended.time_since_epoch().count());
  write_attributes(json, span.attributes);
  json.name("status");
  json.open('{');
  if (span.failed) json.number("code", kStatusError);
  json.close('}');
  json.close('}');
}

void write_resource(Writer& json, const Resource& resource) {
  std::vector<Attribute> attributes = {{"service.name", resource.service_name},
                                       {"service.version", resource.service_version}};
  if (!resource.instance.empty()) attributes.push_back({"service.instance.id", resource.instance});
  json.name("resource");
  json.open('{');
  write_attributes(json, attributes);
  json.close('}');
}

}  // namespace

std::string encode_otlp(const Resource& resource, std::span<const std::unique_ptr<SpanRecord>> spans) {
  std::string text;
  text.reserve(256 + spans.size() * 1024);
  Writer json(text);
  json.open('{');
  json.name("resourceSpans");
  json.open('[');
  json.next();
  json.open('{');
  write_resource(json, resource);
  json.name("scopeSpans");
  json.open('[');
  json.next();
  json.open('{');
  json.name("scope");
  json.open('{');
  json.text("name", "berth");
  json.text("version", resource.service_version);
  json.close('}');
  json.name("spans");
  json.open('[');
  for (const auto& span : spans) write_span(json, *span);
  for (const char bracket : {']', '}', ']', '}', ']', '}'}) json.close(bracket);
  return text;
}

PartialSuccess read_otlp_answer(std::string_view body) {
  PartialSuccess partial;
  const auto answer = parse_strict_json(body);
  if (!answer || !answer->is_object()) return partial;
  const auto said = answer->find("partialSuccess");
  if (said == answer->end() || !said->is_object()) return partial;
  if (const auto count = said->find("rejectedSpans"); count != said->end()) {
    if (count->is_number_unsigned()) partial.rejected = count->get<std::uint64_t>();
    if (count->is_string()) {
      const std::string& digits = count->get_ref<const std::string&>();
      std::from_chars(digits.data(), digits.data() + digits.size(), partial.rejected);
    }
  }
  if (const auto why = said->find("errorMessage"); why != said->end() && why->is_string()) partial.message = why->get<std::string>();
  return partial;
}

}  // namespace berth::trace
