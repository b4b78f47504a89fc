// A manifest goes, with every tag that points at it and its referrer entry; it can be brought back by a push (and its
// bytes stay) until the undo window is over.
#pragma once

#include "oci/digest.h"
#include "oci/name.h"
#include "registry/index.h"
#include "registry/values.h"

namespace berth::registry {

/// One visible step however many tags there are: beyond `tags_max` the rest is left behind as of an older generation,
/// which no reader sees, and is swept by CollectDue.
struct DeleteManifest {
  static constexpr std::size_t kTagsMax = 256;

  struct Outcome {};

  CommandContext context;
  NamespaceId name_space = kLocalNamespace;
  oci::RepositoryName repository;
  oci::Digest digest;
  Precondition precondition = {};
  TagSet may_delete = {};  ///< the caller's right
  Periods periods;
  std::size_t tags_max = kTagsMax;

  /// Errors: manifest_unknown, precondition_failed, denied.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
