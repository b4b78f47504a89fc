#include "registry/commands/links.h"

#include "registry/commands/extend_link.h"
#include "registry/commands/totals.h"

namespace berth::registry {

namespace {

/// An object came into being (1) or is gone for good (-1).
Result<void> count_object(Index& index, const ObjectKey& key, const ObjectRecord& object, std::int64_t change) {
  const bool quarantined = object.state == ObjectState::quarantined;
  BERTH_CHECK(add_to_total(index, key.kind == ObjectKind::blob ? Total::blobs : Total::manifest_objects, change));
  BERTH_CHECK(add_to_total(index, Total::quarantined, quarantined ? change : 0));
  return add_to_total(index, Total::bytes, change * static_cast<std::int64_t>(object.size));
}

}  // namespace

Result<void> hold_object(Index& index, Repository& repository, const ObjectKey& key, const ObjectRecord& fresh) {
  BERTH_TRY(const auto found, index.get(key));
  ObjectRecord object = found.value_or(fresh);
  const auto size = static_cast<std::int64_t>(object.size);
  if (!found) BERTH_CHECK(count_object(index, key, object, 1));
  if (object.holders == 0) repository.delta.unique_bytes += size;
  if (object.holders == 1) BERTH_CHECK(add_unique_bytes(index, object.holders_xor, -size));
  object.holders += 1;
  object.holders_xor ^= repository.id;
  index.put(key, object);
  index.put(HolderKey{key.kind, key.digest, repository.id}, EmptyRecord{});
  repository.delta.held += 1;
  return {};
}

Result<void> release_object(Index& index, Repository& repository, const ObjectKey& key, const Periods& periods) {
  BERTH_TRY(auto object, index.get(key));
  if (!object || object->holders == 0) return make_error(ErrorCode::corrupt, "an object that is held has no record");
  const auto size = static_cast<std::int64_t>(object->size);
  object->holders -= 1;
  object->holders_xor ^= repository.id;
  index.erase(HolderKey{key.kind, key.digest, repository.id});
  repository.delta.held -= 1;
  if (object->holders == 1) BERTH_CHECK(add_unique_bytes(index, object->holders_xor, size));
  if (object->holders > 0) {
    index.put(key, *object);
    return {};
  }
  repository.delta.unique_bytes -= size;
  BERTH_CHECK(count_object(index, key, *object, -1));
  index.erase(key);
  bool has_content = true;
  if (key.kind == ObjectKind::blob) {
    BERTH_TRY(const auto place, index.get(PlaceKey{key.digest}));
    has_content = place && place->is_inline();
    if (place && !place->is_inline()) BERTH_CHECK(reap_file(index, place->file, object->size, periods));
    index.erase(PlaceKey{key.digest});
  }
  if (has_content) index.erase(ContentKey{key.kind, key.digest});
  return {};
}

Result<bool> is_present(const Index& index, RepositoryId repository, const ObjectKey& key) {
  if (key.kind == ObjectKind::blob) {
    BERTH_TRY(const auto link, index.get(LinkKey{repository, key.digest}));
    if (!link || link->state != LinkState::visible) return false;
  } else {
    BERTH_TRY(const auto manifest, index.get(ManifestKey{repository, key.digest}));
    if (!manifest || manifest->state != ManifestState::live) return false;
  }
  BERTH_TRY(const auto object, index.get(key));
  return object && object->state == ObjectState::live;
}

Result<bool> has_edge(const Index& index, RepositoryId repository, const oci::Digest& digest) {
  return any_with_prefix(index.reader(), EdgeKey::kFamily, EdgeKey::prefix(digest, repository));
}

void start_grace(Index& index, RepositoryId repository, const oci::Digest& digest, LinkRecord link,
                 const Periods& periods) {
  link.due = index.context().uptime + periods.grace;
  index.put(LinkKey{repository, digest}, link);
  index.put(DueKey{link.due, DueKind::link, repository, digest}, EmptyRecord{});
}

Result<void> link_blob(Index& index, Repository& repository, const oci::Digest& digest, std::uint64_t size,
                       const Periods& periods) {
  BERTH_TRY(auto link, index.get(LinkKey{repository.id, digest}));
  if (!link) {
    ObjectRecord fresh;
    fresh.size = size;
    BERTH_CHECK(hold_object(index, repository, {ObjectKind::blob, digest}, fresh));
    link = LinkRecord{.size = size, .linked_at = index.context().now, .linked_by = index.context().actor};
    repository.delta.logical_bytes += static_cast<std::int64_t>(size);
    start_grace(index, repository.id, digest, *link, periods);
    return {};
  }
  const bool shown = link->state == LinkState::hidden;
  if (shown) {
    link->state = LinkState::visible;
    link->linked_at = index.context().now;
    link->linked_by = index.context().actor;
    repository.delta.logical_bytes += static_cast<std::int64_t>(link->size);
  }
  if (wants_extension(link->due, index.context().uptime, periods.grace)) {
    start_grace(index, repository.id, digest, *link, periods);
  } else if (shown) {
    index.put(LinkKey{repository.id, digest}, *link);
  }
  return {};
}

Result<void> unlink_blob(Index& index, Repository& repository, const oci::Digest& digest, const LinkRecord& link,
                         const Periods& periods) {
  if (link.state == LinkState::visible) repository.delta.logical_bytes -= static_cast<std::int64_t>(link.size);
  index.erase(LinkKey{repository.id, digest});
  index.touch(repository.record.name_space, repository.record.name, digest.to_string());
  return release_object(index, repository, {ObjectKind::blob, digest}, periods);
}

Result<void> reap_file(Index& index, const std::string& file, std::uint64_t bytes, const Periods& periods) {
  BERTH_CHECK(add_to_total(index, Total::reap_bytes, static_cast<std::int64_t>(bytes)));
  index.put(ReapKey{index.context().uptime + periods.reap_delay, file}, EmptyRecord{});
  return {};
}

}  // namespace berth::registry
