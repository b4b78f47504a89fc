// Bare answers for whoever supervises the process: no authentication, no details, no disk.
#include <chrono>

#include "api/handlers.h"

namespace berth::api {

namespace {

constexpr std::chrono::seconds kHeartbeatAgeMax{10};

Response bare(bool good) { return text_response(good ? 200 : 503, good ? "ok\n" : "no\n", "text/plain"); }

}  // namespace

/// Do the I/O threads still turn? A false answer asks the supervisor for a restart, so nothing else may cause one.
Task<Response> get_livez(Context& context) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(context.clock.steady().time_since_epoch());
  const std::chrono::milliseconds beat{context.lifecycle.loop_heartbeat_ms.load(std::memory_order_relaxed)};
  // Zero: no loop has ticked yet, the process is a moment old.
  co_return bare(beat.count() == 0 || now - beat < kHeartbeatAgeMax);
}

/// Should new requests come here? True on a full disk as well: pulls go on.
Task<Response> get_readyz(Context& context) {
  co_return bare(context.lifecycle.started.load() && !context.lifecycle.draining.load());
}

Task<Response> get_startupz(Context& context) { co_return bare(context.lifecycle.started.load()); }

}  // namespace berth::api
