#include "registry/commands/commit_blob.h"

#include "registry/commands/links.h"
#include "registry/commands/repositories.h"
#include "registry/commands/totals.h"

namespace berth::registry {

namespace {

/// Writes the content given as the blob's copy on this node, in place of `old`.
Result<void> store_copy(Index& index, const CommitBlob& command, const std::optional<PlaceRecord>& old) {
  PlaceRecord place;
  const ContentKey content{ObjectKind::blob, command.digest};
  if (const auto* file = std::get_if<storage::Place>(&command.content)) {
    place.file = file->name;
    if (old && old->is_inline()) index.erase(content);
  } else {
    index.put_content(content, *std::get<CommitBlob::Inline>(command.content).bytes);
  }
  if (old && !old->is_inline() && old->file != place.file) {
    BERTH_CHECK(reap_file(index, old->file, command.size, command.periods));
  }
  index.put(PlaceKey{command.digest}, place);
  return {};
}

}  // namespace

Result<CommitBlob::Outcome> CommitBlob::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::commit_blob, context);
  const ObjectKey key{ObjectKind::blob, digest};
  BERTH_TRY(auto object, index.get(key));
  BERTH_TRY(const auto place, index.get(PlaceKey{digest}));
  if (object && object->size != size) {
    return make_error(ErrorCode::corrupt, "the stored blob has another size", digest.to_string());
  }
  const bool sound = object && object->state == ObjectState::live && place;
  const bool given = !std::holds_alternative<ExistingCopy>(content);
  Outcome outcome;
  outcome.bytes_needed = !given && !sound;
  outcome.stored = given && (!sound || replace_copy);
  outcome.was_there = sound;
  if (outcome.bytes_needed) return outcome;

  BERTH_TRY(Repository target, find_or_create_repository(index, name_space, repository.text()));
  if (outcome.stored) {
    BERTH_CHECK(store_copy(index, *this, place));
    if (object && object->state != ObjectState::live) {
      BERTH_CHECK(add_to_total(index, Total::quarantined, -1));
      object->state = ObjectState::live;
      index.put(key, *object);
    }
  } else if (const auto* file = std::get_if<storage::Place>(&content)) {
    BERTH_CHECK(reap_file(index, file->name, size, periods));
  }
  BERTH_CHECK(link_blob(index, target, digest, size, periods));
  BERTH_CHECK(settle(index, target));
  index.record_change();
  return outcome;
}

}  // namespace berth::registry
