#include "registry/commands/mount_blob.h"

#include "registry/commands/links.h"
#include "registry/commands/repositories.h"

namespace berth::registry {

namespace {

/// Some live one of the sources in which the blob is visible, among the first kCandidatesMax repositories that hold it.
Result<bool> is_visible_in_any(const Index& index, NamespaceId name_space, const Visibility& sources,
                               const ObjectKey& blob) {
  if (!sources.all && sources.patterns.empty()) return false;
  const std::string prefix = HolderKey::prefix(blob.kind, blob.digest);
  BERTH_TRY(const auto holders,
            keys_with_prefix(index.reader(), HolderKey::kFamily, prefix, MountBlob::kCandidatesMax));
  for (const std::string& bytes : holders) {
    BERTH_TRY(const HolderKey holder, HolderKey::decode(bytes));
    BERTH_TRY(const auto source, load_repository(index, holder.repository));
    if (!source || !source->live() || source->record.name_space != name_space) continue;
    if (!sources.shows(source->record.name)) continue;
    BERTH_TRY(const bool visible, is_present(index, source->id, blob));
    if (visible) return true;
  }
  return false;
}

Result<bool> is_visible_in(const Index& index, NamespaceId name_space, const oci::RepositoryName& name,
                           const ObjectKey& blob) {
  BERTH_TRY(const auto source, find_repository(index, name_space, name.text()));
  if (!source) return false;
  return is_present(index, source->id, blob);
}

}  // namespace

Result<MountBlob::Outcome> MountBlob::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::mount_blob, context);
  const ObjectKey blob{ObjectKind::blob, digest};
  BERTH_TRY(bool visible, is_visible_in(index, name_space, repository, blob));
  if (!visible && from) {
    BERTH_TRY(visible, is_visible_in(index, name_space, *from, blob));
  } else if (!visible) {
    BERTH_TRY(visible, is_visible_in_any(index, name_space, sources, blob));
  }
  if (!visible) return Outcome{};

  BERTH_TRY(const auto object, index.get(blob));
  if (!object) return make_error(ErrorCode::corrupt, "a link leads to no blob", digest.to_string());
  BERTH_TRY(Repository target, find_or_create_repository(index, name_space, repository.text()));
  BERTH_CHECK(link_blob(index, target, digest, object->size, periods));
  BERTH_CHECK(settle(index, target));
  index.record_change();
  return Outcome{.mounted = true, .bytes = object->size};
}

}  // namespace berth::registry
