// The span of a request, as OpenTelemetry's conventions for HTTP servers have it, and what a client's trace says.
// docs/monitoring.md lists the spans and what is said of them.
#pragma once

#include <string_view>

#include "api/http.h"

namespace berth::trace {
class Tracer;
}

namespace berth::api {

/// Reads the client's traceparent into `request.trace`. With a tracer begins `request.span` too, but for what only
/// watches berth: health and metrics.
void begin_trace(Request& request, const trace::Tracer* tracer);

/// What requests to others on its behalf stand below: its span, or without a tracer the client's own place, unchanged.
trace::Parent outbound_trace(const Request& request);

/// What it asks for: the template of its path, for a path itself would be a name of its own for each repository.
void name_trace(Request& request, std::string_view route);

/// Ends `request.span` with what came of it. It is passed over where traces are off.
void end_trace(const Request& request, const Response& response, const Outcome& outcome);

}  // namespace berth::api
