// A verified blob becomes part of the index and visible in one repository.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "oci/digest.h"
#include "oci/name.h"
#include "registry/index.h"
#include "storage/blobs/blob_store.h"

namespace berth::registry {

/// Makes the repository when this is the first thing in it. The caller has verified the digest, and for a Place the
/// bytes are durable under that name.
struct CommitBlob {
  /// Link the copy that is there. Only for a caller that was sent all the bytes and hashed them.
  struct ExistingCopy {};
  struct Inline {
    std::shared_ptr<const std::string> bytes;
  };
  using Content = std::variant<ExistingCopy, Inline, storage::Place>;

  struct Outcome {
    /// ExistingCopy was given and there is no sound one: nothing was changed, submit again with the bytes.
    bool bytes_needed = false;
    /// The content given is now the stored copy. False for a Place: another copy was kept, and the file given is in the
    /// reap queue already.
    bool stored = false;
    /// There was a sound copy before.
    bool was_there = false;
  };

  CommandContext context;
  NamespaceId name_space = kLocalNamespace;
  oci::RepositoryName repository;
  oci::Digest digest;
  std::uint64_t size = 0;
  Content content;
  /// Replace a copy that is there by the one given (its file goes to the reap queue), so that pushing again heals.
  /// Without it a copy is replaced only when it is quarantined or lost.
  bool replace_copy = false;
  Periods periods;

  /// Errors: corrupt (the stored object has another size). After any error nothing names the Place: remove its file.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
