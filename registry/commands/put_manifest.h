// A manifest becomes part of a repository, with its tags, its edges and its referrer entry, all or nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "oci/digest.h"
#include "oci/manifest.h"
#include "oci/name.h"
#include "registry/index.h"
#include "registry/values.h"

namespace berth::registry {

struct PutManifest {
  struct Outcome {
    bool created = false;  ///< it was not there before (or was deleted)
  };

  CommandContext context;
  NamespaceId name_space = kLocalNamespace;
  oci::RepositoryName repository;
  oci::Digest digest;                             ///< of `body`, verified
  std::shared_ptr<const oci::Manifest> manifest;  ///< `body`, parsed
  std::shared_ptr<const std::string> body;
  /// What the client named: the precondition is about its state. A tag here is set.
  oci::Reference reference;
  std::vector<PushedTag> extra_tags = {};  ///< set as well
  Precondition precondition = {};
  bool may_overwrite = false;   ///< may the tag in `reference` be moved? See check_overwrite (tag_rights.h)
  bool sparse_indexes = false;  ///< what an index lists may be missing
  Periods periods;

  /// Errors: manifest_blob_unknown with every missing digest; manifest_invalid (these bytes are stored as another media
  /// type); precondition_failed; denied (a tag that may not be moved leads elsewhere).
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
