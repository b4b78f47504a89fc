// Whether what a registry does by itself has to wait: collection, sweeping, expiry. One word for the process, like the
// log's level: whoever keeps content as it is must reach a collector that was built long before.
#pragma once

namespace berth::registry {

/// From the collector's next step on. Thread-safe.
void pause_collection(bool on);
bool collection_paused();

}  // namespace berth::registry
