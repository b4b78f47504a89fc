// What a scrape reads of the registry, beside what is counted (counts.h).
#pragma once

#include "registry/core.h"

namespace berth::metrics {
class Sink;
}

namespace berth::registry {

/// Reads a few records and looks at no list: it costs the same whatever the size of the store. May block for a moment.
void read_gauges(const Core& core, metrics::Sink& sink);

}  // namespace berth::registry
