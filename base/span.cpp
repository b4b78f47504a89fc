#include "base/span.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/env.h"

namespace berth::trace {
namespace {

/// Of zeros there is none (Trace Context §3.2.2.3, §3.2.2.4).
template <class Id>
Id make_id(Entropy& entropy) {
  Id id{};
  while (std::all_of(id.begin(), id.end(), [](std::uint8_t byte) { return byte == 0; })) {
    entropy.fill(std::as_writable_bytes(std::span(id)));
  }
  return id;
}

}  // namespace

Parent Parent::passed_on(const TraceContext& place, std::string state) {
  Parent parent;
  parent.trace_ = std::make_shared<const Trace>(Trace{.sink = nullptr,
                                                      .entropy = nullptr,
                                                      .id = place.trace_id,
                                                      .sampled = place.sampled,
                                                      .state = std::move(state),
                                                      .begun = {},
                                                      .begun_steady = {}});
  parent.span_ = place.parent_id;
  return parent;
}

std::optional<TraceContext> Parent::context() const {
  if (!trace_) return std::nullopt;
  return TraceContext{.trace_id = trace_->id, .parent_id = span_, .sampled = trace_->sampled};
}

std::vector<std::pair<std::string, std::string>> Parent::headers() const {
  std::vector<std::pair<std::string, std::string>> headers;
  const auto here = context();
  if (here) headers.emplace_back("traceparent", format_traceparent(*here));
  if (here && !trace_->state.empty()) headers.emplace_back("tracestate", trace_->state);
  return headers;
}

void Span::begin(Kind kind, std::string_view name) {
  const Trace& trace = *here_.trace_;
  record_ = std::make_unique<SpanRecord>();
  record_->trace_id = trace.id;
  record_->parent_id = here_.span_;
  record_->span_id = here_.span_ = make_id<SpanId>(*trace.entropy);
  record_->state = trace.state;
  record_->kind = kind;
  record_->name = name;
  record_->begun = trace.now();
}

void Span::set(std::string_view key, std::string_view value) {
  if (!record_ || record_->attributes.size() == kAttributesMax) return;
  record_->attributes.push_back({key, std::string(value.substr(0, kValueBytesMax))});
}

void Span::set(std::string_view key, std::int64_t value) {
  if (!record_ || record_->attributes.size() == kAttributesMax) return;
  record_->attributes.push_back({key, value});
}

void Span::fail(std::string_view type) {
  if (!record_) return;
  record_->failed = true;
  set("error.type", type);
}

void Span::hand_over() noexcept {
  record_->ended = here_.trace_->now();
  here_.trace_->sink->take(std::move(record_));
}

bool is_sampled(const TraceId& id, double ratio) {
  if (ratio >= 1) return true;
  // The last eight bytes are the random ones of those who have fewer than sixteen; 63 bits as others compare them.
  std::uint64_t number = 0;
  for (std::size_t i = 8; i < id.size(); ++i) number = number << 8 | id[i];
  return static_cast<double>(number >> 1) < std::ldexp(ratio, 63);
}

Span Tracer::begin(const std::optional<TraceContext>& client, std::string state) const {
  const bool goes_on = client && sampling_.follow_clients;
  const TraceId id = goes_on ? client->trace_id : make_id<TraceId>(entropy_);
  const bool sampled = goes_on ? client->sampled : is_sampled(id, sampling_.ratio);
  Span span;
  span.here_.trace_ = std::make_shared<const Trace>(Trace{.sink = &sink_,
                                                          .entropy = &entropy_,
                                                          .id = id,
                                                          .sampled = sampled,
                                                          .state = goes_on ? std::move(state) : std::string(),
                                                          .begun = std::chrono::system_clock::now(),
                                                          .begun_steady = std::chrono::steady_clock::now()});
  if (!sampled) {
    span.here_.span_ = make_id<SpanId>(entropy_);
    return span;
  }
  if (goes_on) span.here_.span_ = client->parent_id;
  span.begin(Kind::server, "HTTP");
  span.record_->parent_is_remote = goes_on;
  return span;
}

}  // namespace berth::trace
