// The end of a deleted repository, in bounded steps.
#pragma once

#include "registry/commands/repositories.h"
#include "registry/index.h"

namespace berth::registry {

/// Erases up to `budget` records of a deleted repository and takes their number from it; the figures are right after
/// every step. True: nothing is left of it, its own record included.
Result<bool> purge_repository(Index& index, Repository& repository, const Periods& periods, std::size_t& budget);

}  // namespace berth::registry
