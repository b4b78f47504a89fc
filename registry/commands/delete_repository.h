// A repository goes: its name is free in this step, its content goes after the undo window.
#pragma once

#include "oci/name.h"
#include "registry/index.h"

namespace berth::registry {

struct DeleteRepository {
  struct Outcome {};

  CommandContext context;
  NamespaceId name_space = kLocalNamespace;
  oci::RepositoryName repository;
  TagSet may_delete = {};  ///< the caller's right: all tags or nothing
  Periods periods;

  /// Errors: repository_unknown, denied.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
