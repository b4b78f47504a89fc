#include "registry/commands/put_manifest.h"

#include <limits>

#include "registry/commands/edges.h"
#include "registry/commands/links.h"
#include "registry/commands/precondition.h"
#include "registry/commands/repositories.h"
#include "registry/commands/tag_rights.h"
#include "registry/commands/tags.h"
#include "registry/commands/totals.h"
#include "registry/queries.h"

namespace berth::registry {

namespace {

std::uint64_t add_saturating(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t room = std::numeric_limits<std::uint64_t>::max() - a;
  return b > room ? std::numeric_limits<std::uint64_t>::max() : a + b;
}

/// distribution-spec, "Pushing Manifests": what a manifest refers to must be in the same repository.
Result<bool> is_there(const Index& index, RepositoryId repository, const oci::Child& child) {
  if (!child.digest) return false;  // of an algorithm that nothing here can have
  const ObjectKey blob{ObjectKind::blob, *child.digest};
  const ObjectKey manifest{ObjectKind::manifest, *child.digest};
  switch (child.kind) {
    case oci::EdgeKind::config:
    case oci::EdgeKind::layer:
      return is_present(index, repository, blob);
    case oci::EdgeKind::manifest:
      return is_present(index, repository, manifest);
    case oci::EdgeKind::content: {
      BERTH_TRY(const bool is_blob, is_present(index, repository, blob));
      if (is_blob) return true;
      return is_present(index, repository, manifest);
    }
  }
  return false;
}

Result<std::vector<std::string>> missing_children(const Index& index, const std::optional<Repository>& repository,
                                                  const oci::Manifest& manifest, bool sparse_indexes) {
  std::vector<std::string> missing;
  for (const oci::Child& child : manifest.children) {
    const bool listed = child.kind == oci::EdgeKind::manifest || child.kind == oci::EdgeKind::content;
    if (child.may_be_missing || (sparse_indexes && listed)) continue;
    bool there = false;
    if (repository) {
      BERTH_TRY(there, is_there(index, repository->id, child));
    }
    if (!there) missing.push_back(child.digest_text);
  }
  return missing;
}

/// The manifest with all it refers to: of what is itself an image here, its own sum.
Result<std::uint64_t> content_size(const Index& index, RepositoryId repository, const oci::Manifest& manifest,
                                   std::uint64_t size) {
  std::uint64_t sum = size;
  for (const oci::Child& child : manifest.children) {
    std::uint64_t part = child.size;
    if (child.kind == oci::EdgeKind::manifest && child.digest) {
      BERTH_TRY(const auto record, index.get(ManifestKey{repository, *child.digest}));
      if (record) part = record->content_size;
    }
    sum = add_saturating(sum, part);
  }
  return sum;
}

Result<std::optional<oci::Digest>> current_target(const Index& index, const std::optional<Repository>& repository,
                                                  const oci::Reference& reference,
                                                  const std::optional<ManifestRecord>& manifest) {
  if (const auto* digest = std::get_if<oci::Digest>(&reference)) {
    const bool live = manifest && manifest->state == ManifestState::live;
    return live ? std::optional(*digest) : std::nullopt;
  }
  if (!repository) return std::optional<oci::Digest>{};
  BERTH_TRY(const auto tag, find_tag(index.reader(), repository->id, std::get<oci::Tag>(reference).text()));
  return tag ? std::optional(tag->digest) : std::nullopt;
}

/// Are exactly these bytes stored? Those that cannot be read are not, so that a push heals what the disk lost.
Result<bool> has_bytes(const Index& index, const ContentKey& key, const std::string& body) {
  const auto stored = index.reader().get(ContentKey::kFamily, key.encode());
  if (stored.failed_with(ErrorCode::would_block)) return stored.error();
  return stored && *stored && **stored == body;
}

/// Writes everything a manifest that was not live until now consists of. `record` may be a deleted one's.
Result<void> add_manifest(Index& index, Repository& repository, const PutManifest& command, ManifestRecord& record,
                          bool held_already) {
  const oci::Manifest& manifest = *command.manifest;
  const ObjectKey key{ObjectKind::manifest, command.digest};
  record.state = ManifestState::live;
  record.kind = manifest.kind;
  record.media_type = manifest.media_type;
  record.size = command.body->size();
  BERTH_TRY(record.content_size, content_size(index, repository.id, manifest, record.size));
  record.artifact_type = manifest.artifact_type;
  record.subject = manifest.subject.value_or("");
  record.referrer_sequence = 0;
  record.platforms = manifest.platforms;
  record.pushed_at = index.context().now;
  record.pushed_by = index.context().actor;
  record.deleted_at = {};
  record.deleted_by = kSystemActor;
  record.due = Uptime{0};

  if (!record.subject.empty()) {
    BERTH_TRY(record.referrer_sequence, index.next(Counter::referrers));
    ReferrerRecord entry;
    entry.artifact_type = manifest.artifact_type;
    entry.descriptor = oci::referrer_descriptor(manifest, command.digest, record.size);
    index.put(ReferrerKey{repository.id, record.subject, record.referrer_sequence, command.digest}, entry);
  }
  add_edges(index, repository.id, command.digest, manifest);
  if (!held_already) {
    ObjectRecord fresh;
    fresh.size = record.size;
    fresh.media_type = manifest.media_type;
    BERTH_CHECK(hold_object(index, repository, key, fresh));
  }
  index.put(ManifestKey{repository.id, command.digest}, record);
  repository.delta.manifests += 1;
  repository.delta.logical_bytes += static_cast<std::int64_t>(record.size);
  index.touch(repository.record.name_space, repository.record.name, command.digest.to_string());
  return {};
}

}  // namespace

Result<PutManifest::Outcome> PutManifest::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::put_manifest, context);
  const ObjectKey key{ObjectKind::manifest, digest};
  BERTH_TRY(auto found, find_repository(index, name_space, repository.text()));
  BERTH_TRY(auto object, index.get(key));
  const ContentKey content{key.kind, key.digest};
  bool stored = false;
  if (object) {
    BERTH_TRY(stored, has_bytes(index, content, *body));
  }
  std::optional<ManifestRecord> record;
  if (found) {
    BERTH_TRY(record, index.get(ManifestKey{found->id, digest}));
  }

  if (object && object->media_type != manifest->media_type) {
    return make_error(ErrorCode::manifest_invalid, "these bytes are stored as " + object->media_type);
  }
  BERTH_TRY(auto missing, missing_children(index, found, *manifest, sparse_indexes));
  if (!missing.empty()) {
    Error error =
        make_error(ErrorCode::manifest_blob_unknown, "the manifest refers to what this repository does not have");
    error.subjects = std::move(missing);
    return error;
  }
  if (precondition.any()) {
    BERTH_TRY(const auto target_now, current_target(index, found, reference, record));
    BERTH_CHECK(check_precondition(precondition, target_now));
  }
  const auto* tag = std::get_if<oci::Tag>(&reference);
  if (tag != nullptr) BERTH_CHECK(check_overwrite(index, found, *tag, may_overwrite, digest));
  for (const PushedTag& extra : extra_tags) {
    BERTH_CHECK(check_overwrite(index, found, extra.tag, extra.may_overwrite, digest));
  }

  Outcome outcome;
  outcome.created = !record || record->state != ManifestState::live;
  if (!found) {
    BERTH_TRY(found, create_repository(index, name_space, repository.text()));
  }
  Repository& target = *found;
  if (!stored) index.put_content(content, *body);
  if (object && object->state != ObjectState::live) {
    BERTH_CHECK(add_to_total(index, Total::quarantined, -1));
    object->state = ObjectState::live;
    index.put(key, *object);
  }
  const bool held_already = record.has_value();
  if (!record) record.emplace();
  if (outcome.created) BERTH_CHECK(add_manifest(index, target, *this, *record, held_already));
  if (tag != nullptr) BERTH_CHECK(set_tag(index, target, tag->text(), digest, *record));
  for (const PushedTag& extra : extra_tags) {
    BERTH_CHECK(set_tag(index, target, extra.tag.text(), digest, *record));
  }
  BERTH_CHECK(settle(index, target));
  index.record_change();
  return outcome;
}

}  // namespace berth::registry
