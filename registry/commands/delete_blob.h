// A blob goes from one repository.
#pragma once

#include "oci/digest.h"
#include "oci/name.h"
#include "registry/index.h"

namespace berth::registry {

/// Invisible at once. While a manifest of the repository needs it (a deleted one within its undo window too) only
/// hidden: the bytes stay. Otherwise unlinked, and with the last repository the bytes go.
struct DeleteBlob {
  struct Outcome {};

  CommandContext context;
  NamespaceId name_space = kLocalNamespace;
  oci::RepositoryName repository;
  oci::Digest digest;
  TagSet may_delete = {};  ///< the caller's right
  Periods periods;

  /// Errors: blob_unknown, denied.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
