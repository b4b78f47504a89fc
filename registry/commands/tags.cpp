#include "registry/commands/tags.h"

#include "registry/queries.h"

namespace berth::registry {

namespace {

constexpr TagOrder kOrders[] = {TagOrder::time, TagOrder::semver, TagOrder::size};

void add_rows(Index& index, RepositoryId repository, const std::string& tag, const TagRecord& record) {
  index.put(TagKey{repository, tag}, record);
  index.put(TagOfKey{repository, record.digest, record.generation, tag}, EmptyRecord{});
  for (const TagOrder order : kOrders) {
    std::string sort_key = tag_sort_key(order, tag, record);
    if (!sort_key.empty()) index.put(TagIndexKey{repository, order, std::move(sort_key), tag}, EmptyRecord{});
  }
}

void remove_rows(Index& index, RepositoryId repository, const std::string& tag, const TagRecord& record) {
  index.erase(TagKey{repository, tag});
  index.erase(TagOfKey{repository, record.digest, record.generation, tag});
  for (const TagOrder order : kOrders) {
    std::string sort_key = tag_sort_key(order, tag, record);
    if (!sort_key.empty()) index.erase(TagIndexKey{repository, order, std::move(sort_key), tag});
  }
}

/// The number of the tag's newest log entry; 0 when it never had one. It outlives the tag, so that a version is never
/// given twice.
Result<std::uint64_t> last_version(const Index& index, RepositoryId repository, const std::string& tag) {
  // Histories are kept whole. Most tags are new, and to look up what is not there costs less than to begin a scan.
  BERTH_TRY(const auto first, index.get(TagLogKey{repository, tag, 1}));
  if (!first) return std::uint64_t{0};
  const kv::KeyRange range = kv::prefix_range(TagLogKey::prefix(repository, tag));
  BERTH_TRY(const auto cursor, index.reader().scan(TagLogKey::kFamily, range, kv::Direction::backward));
  std::optional<std::string> newest;
  if (cursor->valid()) newest = cursor->key();
  BERTH_CHECK(cursor->status());
  if (!newest) return std::uint64_t{0};
  BERTH_TRY(const TagLogKey key, TagLogKey::decode(*newest));
  return key.version;
}

Result<TagRemoval> removal_of_leftover(const Index& index, RepositoryId repository, const oci::Digest& digest) {
  BERTH_TRY(const auto leftover, index.get(LeftoverKey{repository, digest}));
  if (!leftover) return make_error(ErrorCode::corrupt, "a tag points at no manifest");
  return TagRemoval{leftover->deleted_by, leftover->deleted_at, TagChange::delete_manifest};
}

}  // namespace

Result<void> set_tag(Index& index, Repository& repository, const std::string& tag, const oci::Digest& digest,
                     const ManifestRecord& manifest) {
  BERTH_TRY(auto current, index.get(TagKey{repository.id, tag}));
  if (current) {
    BERTH_TRY(const bool live, tag_counts(index.reader(), repository.id, *current));
    if (live && current->digest == digest) return {};
    if (!live) {
      BERTH_TRY(const TagRemoval removal, removal_of_leftover(index, repository.id, current->digest));
      BERTH_CHECK(remove_tag(index, repository, tag, *current, removal));
      current.reset();
    }
  }
  std::uint64_t version = 0;
  if (current) {
    version = current->version;
  } else {
    BERTH_TRY(version, last_version(index, repository.id, tag));
  }
  TagRecord record;
  record.digest = digest;
  record.generation = manifest.generation;
  record.version = version + 1;
  record.updated_at = index.context().now;
  record.updated_by = index.context().actor;
  record.size = manifest.content_size;

  TagLogRecord entry;
  if (current) {
    entry.from = current->digest;
    remove_rows(index, repository.id, tag, *current);
  } else {
    repository.delta.tags += 1;
  }
  entry.to = digest;
  entry.actor = index.context().actor;
  entry.when = index.context().now;
  entry.reason = TagChange::push;
  add_rows(index, repository.id, tag, record);
  index.put(TagLogKey{repository.id, tag, record.version}, entry);
  index.touch(repository.record.name_space, repository.record.name, tag);
  return {};
}

Result<void> remove_tag(Index& index, Repository& repository, const std::string& tag, const TagRecord& record,
                        const TagRemoval& removal) {
  BERTH_TRY(const auto pulls, index.get(PullsKey{repository.id, tag}));
  if (pulls) index.erase(PullsKey{repository.id, tag});
  TagLogRecord entry;
  entry.from = record.digest;
  entry.actor = removal.actor;
  entry.when = removal.when;
  entry.reason = removal.reason;
  remove_rows(index, repository.id, tag, record);
  index.put(TagLogKey{repository.id, tag, record.version + 1}, entry);
  repository.delta.tags -= 1;
  index.touch(repository.record.name_space, repository.record.name, tag);
  return {};
}

Result<bool> sweep_leftover_tags(Index& index, Repository& repository, const oci::Digest& digest, std::size_t& budget) {
  BERTH_TRY(const auto leftover, index.get(LeftoverKey{repository.id, digest}));
  if (!leftover) return true;
  const TagRemoval removal{leftover->deleted_by, leftover->deleted_at, TagChange::delete_manifest};
  const std::string prefix = TagOfKey::prefix(repository.id, digest);
  // In order of generations: those of the manifest as it may have been pushed again come last.
  BERTH_TRY(const auto keys, keys_with_prefix(index.reader(), TagOfKey::kFamily, prefix, budget + 1));
  for (const std::string& bytes : keys) {
    BERTH_TRY(const TagOfKey key, TagOfKey::decode(bytes));
    if (key.generation >= leftover->generation) break;
    if (budget == 0) return false;
    --budget;
    BERTH_TRY(const auto record, index.get(TagKey{repository.id, key.tag}));
    if (!record) return make_error(ErrorCode::corrupt, "a manifest names a tag that has no record");
    BERTH_CHECK(remove_tag(index, repository, key.tag, *record, removal));
  }
  index.erase(LeftoverKey{repository.id, digest});
  return true;
}

}  // namespace berth::registry
