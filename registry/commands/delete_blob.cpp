#include "registry/commands/delete_blob.h"

#include "registry/commands/links.h"
#include "registry/commands/repositories.h"
#include "registry/commands/tag_rights.h"

namespace berth::registry {

Result<DeleteBlob::Outcome> DeleteBlob::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::delete_blob, context);
  const Error absent = make_error(ErrorCode::blob_unknown, "this repository has no such blob");
  BERTH_TRY(auto target, find_repository(index, name_space, repository.text()));
  if (!target) return absent;
  const LinkKey key{target->id, digest};
  BERTH_TRY(auto link, index.get(key));
  if (!link || link->state != LinkState::visible) return absent;
  BERTH_CHECK(check_not_needed(index, target->id, digest, may_delete));
  BERTH_TRY(const bool needed, has_edge(index, target->id, digest));

  if (needed) {
    link->state = LinkState::hidden;
    index.touch(name_space, repository.text(), digest.to_string());
    index.put(key, *link);
    target->delta.logical_bytes -= static_cast<std::int64_t>(link->size);
  } else {
    BERTH_CHECK(unlink_blob(index, *target, digest, *link, periods));
  }
  BERTH_CHECK(settle(index, *target));
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
