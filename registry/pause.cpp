#include "registry/pause.h"

#include <atomic>

namespace berth::registry {
namespace {

std::atomic<bool> paused{false};

}  // namespace

void pause_collection(bool on) { paused.store(on, std::memory_order_relaxed); }
bool collection_paused() { return paused.load(std::memory_order_relaxed); }

}  // namespace berth::registry
