// What refers to what, within one repository.
#pragma once

#include "oci/manifest.h"
#include "registry/commands/repositories.h"
#include "registry/index.h"

namespace berth::registry {

/// Every child of a manifest, present or not: one that is pushed later is held from its first moment.
void add_edges(Index& index, RepositoryId repository, const oci::Digest& parent, const oci::Manifest& manifest);

/// Drops up to `budget` edges of a parent and takes their number from it. A blob that lost its last edge has a full
/// grace from now. True: none are left.
Result<bool> drop_edges(Index& index, RepositoryId repository, const oci::Digest& parent, const Periods& periods,
                        std::size_t& budget);

}  // namespace berth::registry
