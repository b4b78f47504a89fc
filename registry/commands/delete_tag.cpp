#include "registry/commands/delete_tag.h"

#include "registry/commands/precondition.h"
#include "registry/commands/repositories.h"
#include "registry/commands/tags.h"
#include "registry/queries.h"

namespace berth::registry {

Result<DeleteTag::Outcome> DeleteTag::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::delete_tag, context);
  // First, so that who may not touch the tag does not learn whether it is there.
  if (!may_delete.contains(tag.text())) {
    return make_error(ErrorCode::denied, "this caller may not delete the tag " + tag.text());
  }
  const Error absent = make_error(ErrorCode::manifest_unknown, "this repository has no such tag");
  BERTH_TRY(auto target, find_repository(index, name_space, repository.text()));
  if (!target) return absent;
  BERTH_TRY(const auto record, find_tag(index.reader(), target->id, tag.text()));
  if (!record) return absent;
  BERTH_CHECK(check_precondition(precondition, record->digest));

  const TagRemoval removal{context.actor, context.now, TagChange::delete_tag};
  BERTH_CHECK(remove_tag(index, *target, tag.text(), *record, removal));
  BERTH_CHECK(settle(index, *target));
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
