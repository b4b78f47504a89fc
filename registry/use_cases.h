// The use cases behind the front door, one function each, in the files that hold their rules. Arguments by reference
// live as long as the Task is awaited. registry.h says what each does and answers.
#pragma once

#include "registry/core.h"

namespace berth::registry {

// ---- pull.cpp ----
Task<BlobContent> open_blob(Core& core, const Actor& actor, const oci::RepositoryName& name, const oci::Digest& digest);
Task<std::uint64_t> blob_size(Core& core, const Actor& actor, const oci::RepositoryName& name,
                              const oci::Digest& digest);
Task<std::shared_ptr<const ManifestAnswer>> get_manifest(Core& core, const Actor& actor, const oci::RepositoryName& name,
                                                         const oci::Reference& reference, bool count_pull);

// ---- push.cpp ----
Task<std::unique_ptr<Upload>> start_upload(Core& core, const Actor& actor, const oci::RepositoryName& name,
                                           oci::Algorithm algorithm, bool single_request);
Task<std::unique_ptr<Upload>> claim_upload(Core& core, const Actor& actor, const oci::RepositoryName& name,
                                           const std::string& upload_id);
Task<std::uint64_t> upload_offset(Core& core, const Actor& actor, const oci::RepositoryName& name,
                                  const std::string& upload_id);
Task<bool> mount_blob(Core& core, const Actor& actor, const oci::RepositoryName& target, const oci::Digest& digest,
                      std::optional<oci::RepositoryName> from, const Visibility& visibility);
Task<PutManifestDone> put_manifest(Core& core, const Actor& actor, PutManifestRequest request);

// ---- commit.cpp ----
/// Makes the content of a session, which hashes to `digest`, a blob of its repository.
Task<void> commit_content(Core& core, const Actor& actor, std::shared_ptr<UploadSession> session,
                          std::shared_ptr<UploadClaim> claim, oci::Digest digest);

// ---- recovery.cpp ----
/// Removes files that no record names and takes up the sessions that outlived the last process. Blocks; before anybody
/// pushes. Errors: io_error.
Result<void> recover(Core& core);

}  // namespace berth::registry
