#include "registry/commands/delete_manifest.h"

#include "registry/commands/precondition.h"
#include "registry/commands/repositories.h"
#include "registry/commands/tag_rights.h"
#include "registry/commands/tags.h"

namespace berth::registry {

namespace {

/// Removes the tags that point at the manifest, or as many as one command may, and leaves the rest as leftovers.
Result<void> remove_tags(Index& index, Repository& repository, const oci::Digest& digest, std::uint64_t generation,
                         std::size_t tags_max) {
  const TagRemoval removal{index.context().actor, index.context().now, TagChange::delete_manifest};
  const std::string prefix = TagOfKey::prefix(repository.id, digest);
  const std::string from = TagOfKey{repository.id, digest, generation, ""}.encode();
  BERTH_TRY(const auto keys, keys_with_prefix(index.reader(), TagOfKey::kFamily, prefix, tags_max + 1, from));
  std::size_t removed = 0;
  for (const std::string& bytes : keys) {
    if (removed == tags_max) break;
    BERTH_TRY(const TagOfKey key, TagOfKey::decode(bytes));
    BERTH_TRY(const auto record, index.get(TagKey{repository.id, key.tag}));
    if (!record) return make_error(ErrorCode::corrupt, "a manifest names a tag that has no record");
    BERTH_CHECK(remove_tag(index, repository, key.tag, *record, removal));
    ++removed;
  }
  if (removed == keys.size()) return {};

  index.put(LeftoverKey{repository.id, digest}, LeftoverRecord{generation + 1, removal.when, removal.actor});
  index.put(DueKey{index.context().uptime, DueKind::tags, repository.id, digest}, EmptyRecord{});
  index.touch(repository.record.name_space, repository.record.name, "");
  return {};
}

}  // namespace

Result<DeleteManifest::Outcome> DeleteManifest::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::delete_manifest, context);
  const Error absent = make_error(ErrorCode::manifest_unknown, "this repository has no such manifest");
  BERTH_TRY(auto target, find_repository(index, name_space, repository.text()));
  if (!target) return absent;
  const ManifestKey key{target->id, digest};
  BERTH_TRY(auto record, index.get(key));
  if (!record || record->state != ManifestState::live) return absent;
  BERTH_CHECK(check_precondition(precondition, digest));
  BERTH_CHECK(check_manifest_may_go(index, target->id, digest, *record, may_delete));

  BERTH_CHECK(remove_tags(index, *target, digest, record->generation, tags_max));
  if (!record->subject.empty()) {
    index.erase(ReferrerKey{target->id, record->subject, record->referrer_sequence, digest});
  }
  record->state = ManifestState::deleted;
  record->generation += 1;
  record->referrer_sequence = 0;
  record->deleted_at = context.now;
  record->deleted_by = context.actor;
  record->due = context.uptime + periods.undo_window;
  index.put(key, *record);
  index.put(DueKey{record->due, DueKind::manifest, target->id, digest}, EmptyRecord{});
  target->delta.manifests -= 1;
  target->delta.logical_bytes -= static_cast<std::int64_t>(record->size);
  index.touch(name_space, repository.text(), digest.to_string());
  BERTH_CHECK(settle(index, *target));
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
