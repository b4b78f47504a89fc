// The in-memory engine: the contract suite's second opinion, and the simulation's disk.
#pragma once

#include <memory>

#include "storage/kv/kv.h"

namespace berth::kv {

/// Views are copy-on-write and cost a pointer a family; a write costs a path of a balanced tree. Lost with the object.
std::unique_ptr<Store> make_memory_store(Schema schema);

}  // namespace berth::kv
