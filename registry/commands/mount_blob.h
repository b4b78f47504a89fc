// A blob of one repository becomes visible in another, without its bytes moving.
#pragma once

#include <cstdint>
#include <optional>

#include "oci/digest.h"
#include "oci/name.h"
#include "registry/index.h"

namespace berth::registry {

struct MountBlob {
  /// Sources looked at when none is named.
  static constexpr std::size_t kCandidatesMax = 64;

  struct Outcome {
    bool mounted = false;     ///< false: not possible, nothing was changed
    std::uint64_t bytes = 0;  ///< of the blob, when it was mounted
  };

  CommandContext context;
  NamespaceId name_space = kLocalNamespace;
  oci::RepositoryName repository;  ///< the target
  oci::Digest digest;
  std::optional<oci::RepositoryName> from = {};
  Visibility sources = {};  ///< where to look for one when `from` is empty
  Periods periods;

  /// A blob that is visible in the target already counts as mounted, whatever the source. Refuses nothing.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
