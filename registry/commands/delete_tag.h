// A tag goes; what it pointed at stays.
#pragma once

#include "oci/name.h"
#include "registry/index.h"
#include "registry/values.h"

namespace berth::registry {

struct DeleteTag {
  struct Outcome {};

  CommandContext context;
  NamespaceId name_space = kLocalNamespace;
  oci::RepositoryName repository;
  oci::Tag tag;
  Precondition precondition = {};
  TagSet may_delete = {};  ///< the caller's right

  /// Errors: manifest_unknown, precondition_failed, denied.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
