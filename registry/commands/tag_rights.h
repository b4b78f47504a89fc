// What a caller whose rights are limited to some tags may do to what tags lead to. Asked inside commands, so that no
// other change comes between the answer and what it is about.
#pragma once

#include <cstddef>

#include "oci/digest.h"
#include "oci/name.h"
#include "registry/commands/repositories.h"
#include "registry/index.h"
#include "registry/values.h"

namespace berth::registry {

/// So many tags of a manifest, and so many manifests that refer to one digest, are looked at; with more of them a
/// limited right does not suffice.
inline constexpr std::size_t kTagsLookedAtMax = 1'000;
inline constexpr std::size_t kParentsLookedAtMax = 1'000;

/// May the tag be pointed at `digest`? A tag that leads nowhere, or there already, may always. Errors: denied.
Result<void> check_overwrite(const Index& index, const std::optional<Repository>& repository, const oci::Tag& tag,
                             bool may_overwrite, const oci::Digest& digest);

/// A signature of a signature of …: with more steps than these a limited right does not suffice.
inline constexpr int kSubjectsLookedAtMax = 8;

/// May a live manifest go, with every tag that points at it? By a limited right only when all those tags are within it,
/// no live manifest refers to it, and the same holds for its subject: what is said about an image belongs to the image.
/// Errors: denied.
Result<void> check_manifest_may_go(const Index& index, RepositoryId repository, oci::Digest digest,
                                   ManifestRecord record, const TagSet& may_delete);

/// May a blob or manifest go? Not by a limited right while a live manifest refers to it: what a tag leads to would be
/// broken although the tag is out of reach. Errors: denied.
Result<void> check_not_needed(const Index& index, RepositoryId repository, const oci::Digest& digest,
                              const TagSet& may_delete);

}  // namespace berth::registry
