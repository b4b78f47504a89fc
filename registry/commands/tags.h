// Tags: the record, the reverse, the index by time, semver and size, and the log move together, here and nowhere else.
#pragma once

#include <string>

#include "registry/commands/repositories.h"
#include "registry/index.h"

namespace berth::registry {

/// Points a tag at a live manifest. Nothing changes when it does already.
Result<void> set_tag(Index& index, Repository& repository, const std::string& tag, const oci::Digest& digest,
                     const ManifestRecord& manifest);

/// Who removed a tag, when and why, for the log.
struct TagRemoval {
  ActorId actor = kSystemActor;
  WallTime when{};
  TagChange reason = TagChange::delete_tag;
};
Result<void> remove_tag(Index& index, Repository& repository, const std::string& tag, const TagRecord& record,
                        const TagRemoval& removal);

/// Removes up to `budget` tags that a deleted manifest left behind and takes their number from it. True: none are left.
Result<bool> sweep_leftover_tags(Index& index, Repository& repository, const oci::Digest& digest, std::size_t& budget);

}  // namespace berth::registry
