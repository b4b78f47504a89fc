// Bare answers for whoever supervises the process: no authentication, one line, no disk.
#include <chrono>
#include <string>
#include <string_view>

#include "api/handlers.h"
#include "api/switches.h"

namespace berth::api {

namespace {

constexpr std::chrono::seconds kHeartbeatAgeMax{10};

/// One line. What is wrong is told to everybody: it says nothing that the status does not, only why.
Response bare(bool good, std::string_view line) {
  return text_response(good ? 200 : 503, std::string(line) + '\n', "text/plain");
}

constexpr std::string_view kStarting = "the registry is starting";

}  // namespace

/// Do the I/O threads still turn? A false answer asks the supervisor for a restart, so nothing else may cause one.
Task<Response> get_livez(Context& context) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(context.clock.steady().time_since_epoch());
  const std::chrono::milliseconds beat{context.lifecycle.loop_heartbeat_ms.load(std::memory_order_relaxed)};
  // Zero: no loop has ticked yet, the process is a moment old.
  const bool alive = beat.count() == 0 || now - beat < kHeartbeatAgeMax;
  co_return bare(alive, alive ? "ok" : "an I/O thread hangs");
}

/// Should new requests come here? True on a full disk and in a read-only registry as well: pulls go on.
Task<Response> get_readyz(Context& context) {
  if (!context.lifecycle.started.load()) co_return bare(false, kStarting);
  if (context.lifecycle.draining.load()) co_return bare(false, "the registry is stopping");
  const Switches* const switches = context.options.switches;
  co_return bare(true, switches != nullptr && switches->read_only() ? "ok, read-only" : "ok");
}

Task<Response> get_startupz(Context& context) {
  const bool started = context.lifecycle.started.load();
  co_return bare(started, started ? "ok" : kStarting);
}

}  // namespace berth::api
