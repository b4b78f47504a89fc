// What berth tells of the work it does: spans, as OpenTelemetry has them.
//
// A span is one piece of work: when it began and ended, under which name, below which other span, and a few words about
// it. Where work begins below other work a Parent is handed on, by value, so it may outlive the request it came from.
// What is off costs a null pointer: no Parent, and the spans below none do nothing and allocate nothing. A request that
// is not sampled has one small allocation, so that others can be told the id of its trace.
//
// Nothing secret becomes a name or an attribute; keys and names are words of the source code, never of a client.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/trace.h"

namespace berth {
class Entropy;
}

namespace berth::trace {

/// With OTLP's numbers.
enum class Kind : std::uint8_t { internal = 1, server = 2, client = 3 };

struct Attribute {
  std::string_view key;  ///< lives as long as the process
  std::variant<std::string, std::int64_t> value;

  bool operator==(const Attribute&) const = default;
};

inline constexpr std::size_t kAttributesMax = 32;   ///< of a span; further ones are left out
inline constexpr std::size_t kValueBytesMax = 512;  ///< of a text; longer ones are cut

using Nanoseconds = std::chrono::sys_time<std::chrono::nanoseconds>;

/// A span that has ended.
struct SpanRecord {
  TraceId trace_id{};
  SpanId span_id{};
  SpanId parent_id{};             ///< zeros: the trace begins here
  bool parent_is_remote = false;  ///< it is the client's
  std::string state = {};         ///< tracestate
  Kind kind = Kind::internal;
  std::string name = {};
  Nanoseconds begun{};
  Nanoseconds ended{};
  std::vector<Attribute> attributes = {};
  bool failed = false;
};

/// Where spans go when they end. Thread-safe.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  /// Never blocks and never fails: what there is no room for is dropped.
  virtual void take(std::unique_ptr<SpanRecord> span) noexcept = 0;
};

/// What the spans of one request share; const but for what it refers to.
struct Trace {
  SpanSink* sink;  ///< null: others' alone, nobody here records it
  Entropy* entropy;
  TraceId id;
  bool sampled;
  std::string state;
  Nanoseconds begun;
  std::chrono::steady_clock::time_point begun_steady;

  /// Times of one trace fit together even when the clock is set meanwhile.
  Nanoseconds now() const { return begun + (std::chrono::steady_clock::now() - begun_steady); }
};

/// A place in a trace below which work may begin. Copied freely; the Tracer outlives it.
class Parent {
 public:
  Parent() = default;
  /// Somebody's place, with `state`, that others are told unchanged; nothing is recorded below it.
  static Parent passed_on(const TraceContext& place, std::string state);
  /// Is there a trace, sampled or not?
  explicit operator bool() const { return trace_ != nullptr; }
  /// Are spans below it recorded?
  bool sampled() const { return trace_ != nullptr && trace_->sampled && trace_->sink != nullptr; }
  /// What another server is told of it. Empty without a trace.
  std::optional<TraceContext> context() const;
  /// `traceparent`, and `tracestate` when there is one. Empty without a trace.
  std::vector<std::pair<std::string, std::string>> headers() const;

 private:
  friend class Span;
  friend class Tracer;
  std::shared_ptr<const Trace> trace_;
  SpanId span_{};
};

/// One piece of work, from its construction to end() or its own end, whichever comes first: a coroutine that is
/// cancelled ends its spans too. One thread at a time.
class Span {
 public:
  Span() = default;
  Span(const Parent& parent, Kind kind, std::string_view name) : here_(parent) {
    if (parent.sampled()) begin(kind, name);
  }
  Span(const Parent& parent, std::string_view name) : Span(parent, Kind::internal, name) {}
  Span(Span&&) noexcept = default;
  Span& operator=(Span&& other) noexcept {
    end();
    here_ = std::move(other.here_);
    record_ = std::move(other.record_);
    return *this;
  }
  ~Span() { end(); }

  /// Is it recorded? Ask before making up what only set() wants.
  explicit operator bool() const { return record_ != nullptr; }
  /// For work below it. Of a span that is not recorded: what it was itself made below.
  const Parent& below() const { return here_; }

  void set_name(std::string name) {
    if (record_) record_->name = std::move(name);
  }
  /// Each key once.
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, std::int64_t value);
  /// It did not do what it should: `type` is a word for it (`error.type`).
  void fail(std::string_view type);
  void end() noexcept {
    if (record_) hand_over();
  }

 private:
  friend class Tracer;
  void begin(Kind kind, std::string_view name);
  void hand_over() noexcept;

  Parent here_;
  std::unique_ptr<SpanRecord> record_;
};

struct Sampling {
  double ratio = 1;           ///< of the traces that begin here: 0 to 1
  bool follow_clients = true;  ///< whether a client's traceparent decides for its own trace
};

/// Is a trace of this id among the sampled ones? As OpenTelemetry's TraceIdRatioBased: all servers that use the same
/// ratio choose the same traces.
bool is_sampled(const TraceId& id, double ratio);

/// Begins the spans of requests. Thread-safe; all outlive it, and it outlives all spans and parents.
class Tracer {
 public:
  Tracer(const Sampling& sampling, Entropy& entropy, SpanSink& sink)
      : sampling_(sampling), entropy_(entropy), sink_(sink) {}
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  /// The span of a request that came in. With a client's context it goes on with that trace, with `state`; sampled if
  /// the client says so. Otherwise a new trace begins and the ratio decides.
  Span begin(const std::optional<TraceContext>& client, std::string state) const;

 private:
  const Sampling sampling_;
  Entropy& entropy_;
  SpanSink& sink_;
};

}  // namespace berth::trace
