// A client was told that a blob is here, so it stays for a full grace from now.
#pragma once

#include "oci/digest.h"
#include "oci/name.h"
#include "registry/index.h"

namespace berth::registry {

/// Is a link that falls due at `due` so near its end that it should be extended? See ExtendLink.
inline bool wants_extension(Uptime due, Uptime now, std::chrono::milliseconds grace) {
  return due.count() != 0 && due < now + grace / 2;
}

/// For a visible link within half a grace of its end (wants_extension). Does nothing for any other.
struct ExtendLink {
  struct Outcome {};

  CommandContext context;
  NamespaceId name_space = kLocalNamespace;
  oci::RepositoryName repository;
  oci::Digest digest;
  Periods periods;

  /// Errors: blob_unknown.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
