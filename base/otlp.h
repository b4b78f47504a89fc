// OTLP's JSON: the Protobuf JSON mapping of an ExportTraceServiceRequest, with the exceptions that OpenTelemetry's
// protocol makes (ids in hex, enumerations as numbers), and what a collector answers.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/span.h"

namespace berth::trace {

/// Who tells the spans.
struct Resource {
  std::string service_name = "berth";
  std::string service_version;
  std::string instance;  ///< tells servers of one name apart; empty: left out
};

/// The body of a POST to /v1/traces. Valid JSON whatever the spans hold.
std::string encode_otlp(const Resource& resource, std::span<const std::unique_ptr<SpanRecord>> spans);

/// What a collector that answered 200 did not take all the same (`partialSuccess`). `message` is its reason.
struct PartialSuccess {
  std::uint64_t rejected = 0;
  std::string message;
};
/// None for a body that says nothing of the kind, or is no JSON.
PartialSuccess read_otlp_answer(std::string_view body);

}  // namespace berth::trace
