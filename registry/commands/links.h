// Objects and who holds them: the reference counts, the xor that makes unique bytes exact, and the links of blobs.
//
// A repository holds an object through a link (blob) or a manifest record. With holders 0→1 the object's size is unique
// to the newcomer; 1→2 takes it from the one that was alone, whose id is the xor; letting go runs it backwards. When
// the last holder goes, the object and its bytes go in the same command; a file waits in the reap queue for readers of
// an older view to finish.
#pragma once

#include <optional>

#include "registry/commands/repositories.h"
#include "registry/index.h"

namespace berth::registry {

/// The repository starts to hold the object, which is made from `fresh` when it is not there.
Result<void> hold_object(Index& index, Repository& repository, const ObjectKey& key, const ObjectRecord& fresh);
/// The repository no longer holds it.
Result<void> release_object(Index& index, Repository& repository, const ObjectKey& key, const Periods& periods);

/// Is there an object that readers of the repository see: held here, not hidden, not deleted, not quarantined?
Result<bool> is_present(const Index& index, RepositoryId repository, const ObjectKey& key);

/// Does any manifest of the repository, of whatever state, refer to this digest?
Result<bool> has_edge(const Index& index, RepositoryId repository, const oci::Digest& digest);

/// Makes a blob visible: a new link, or one that was hidden or near its end for another grace.
Result<void> link_blob(Index& index, Repository& repository, const oci::Digest& digest, std::uint64_t size,
                       const Periods& periods);
/// Removes a link for good.
Result<void> unlink_blob(Index& index, Repository& repository, const oci::Digest& digest, const LinkRecord& link,
                         const Periods& periods);
/// Nothing refers to the link since now: it stays for a full grace. Writes the link.
void start_grace(Index& index, RepositoryId repository, const oci::Digest& digest, LinkRecord link,
                 const Periods& periods);

/// Puts a file of so many bytes into the reap queue.
Result<void> reap_file(Index& index, const std::string& file, std::uint64_t bytes, const Periods& periods);

}  // namespace berth::registry
