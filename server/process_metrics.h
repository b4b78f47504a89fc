// What the kernel and the allocator say about this process, and what it is.
#pragma once

#include <string_view>

#include "api/service.h"
#include "base/metrics.h"

namespace berth::server {

/// build_info: a series that is always 1 and says in its labels what runs.
void tell_build(std::string_view version, std::string_view revision, std::string_view rocksdb);

/// process_… as every program has them, the memory the allocator holds, lines the log lost, and whether berth is ready.
/// `lifecycle` must outlive it.
metrics::Source watch_process(const api::Lifecycle& lifecycle);

}  // namespace berth::server
