// The in-memory engine: the contract suite's second opinion, and the simulation's disk.
#pragma once

#include <memory>

#include "storage/kv/kv.h"

namespace berth::kv {

/// Views are copy-on-write; meant for thousands of keys, not millions.
std::unique_ptr<Store> make_memory_store(Schema schema);

}  // namespace berth::kv
