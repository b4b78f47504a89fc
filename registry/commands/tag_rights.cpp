#include "registry/commands/tag_rights.h"

#include <optional>
#include <string>

#include "registry/queries.h"

namespace berth::registry {

Result<void> check_overwrite(const Index& index, const std::optional<Repository>& repository, const oci::Tag& tag,
                             bool may_overwrite, const oci::Digest& digest) {
  if (may_overwrite || !repository) return {};
  BERTH_TRY(const auto current, find_tag(index.reader(), repository->id, tag.text()));
  if (!current || current->digest == digest) return {};
  // kaniko knows "cannot be overwritten because the repository is immutable" and can be told to take it for success.
  return make_error(ErrorCode::denied, "the tag " + tag.text() +
                                           " cannot be overwritten because the repository is immutable to this caller: "
                                           "it may add tags and not move them");
}

namespace {

Result<void> check_tags_of_manifest(const Index& index, RepositoryId repository, const oci::Digest& digest,
                                    std::uint64_t generation, const TagSet& may_delete) {
  const std::string prefix = TagOfKey::prefix(repository, digest);
  const std::string from = TagOfKey{repository, digest, generation, ""}.encode();
  BERTH_TRY(const auto keys, keys_with_prefix(index.reader(), TagOfKey::kFamily, prefix, kTagsLookedAtMax + 1, from));
  if (keys.size() > kTagsLookedAtMax) {
    return make_error(ErrorCode::denied, "too many tags point at the manifest to see whether all may go: delete some");
  }
  for (const std::string& bytes : keys) {
    BERTH_TRY(const TagOfKey key, TagOfKey::decode(bytes));
    if (may_delete.contains(key.tag)) continue;
    return make_error(ErrorCode::denied, "a tag that this caller may not delete points at the manifest", key.tag);
  }
  return {};
}

}  // namespace

Result<void> check_manifest_may_go(const Index& index, RepositoryId repository, oci::Digest digest,
                                   ManifestRecord record, const TagSet& may_delete) {
  if (may_delete.all) return {};
  for (int steps = 0; steps < kSubjectsLookedAtMax; ++steps) {
    BERTH_CHECK(check_tags_of_manifest(index, repository, digest, record.generation, may_delete));
    BERTH_CHECK(check_not_needed(index, repository, digest, may_delete));
    if (record.subject.empty()) return {};
    auto subject = oci::Digest::parse(record.subject);
    if (!subject) return {};  // of an algorithm that nothing here can have
    digest = *subject;
    BERTH_TRY(auto found, index.get(ManifestKey{repository, digest}));
    if (!found || found->state != ManifestState::live) return {};
    record = *std::move(found);
  }
  return make_error(ErrorCode::denied, "the manifest is about one about one …, too far to see whether all may go");
}

Result<void> check_not_needed(const Index& index, RepositoryId repository, const oci::Digest& digest,
                              const TagSet& may_delete) {
  if (may_delete.all) return {};
  const Error needed =
      make_error(ErrorCode::denied, "a manifest of the repository needs it, and this caller may delete some tags only");
  const std::string prefix = EdgeKey::prefix(digest, repository);
  BERTH_TRY(const auto keys, keys_with_prefix(index.reader(), EdgeKey::kFamily, prefix, kParentsLookedAtMax + 1));
  if (keys.size() > kParentsLookedAtMax) return needed;
  for (const std::string& bytes : keys) {
    BERTH_TRY(const EdgeKey key, EdgeKey::decode(bytes));
    BERTH_TRY(const auto parent, index.get(ManifestKey{repository, key.parent}));
    if (parent && parent->state == ManifestState::live) return needed;
  }
  return {};
}

}  // namespace berth::registry
