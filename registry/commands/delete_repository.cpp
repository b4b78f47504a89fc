#include "registry/commands/delete_repository.h"

#include "registry/commands/repositories.h"

namespace berth::registry {

Result<DeleteRepository::Outcome> DeleteRepository::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::delete_repository, context);
  if (!may_delete.all) {
    return make_error(ErrorCode::denied, "this caller may delete some tags of the repository, not all of it");
  }
  BERTH_TRY(auto target, find_repository(index, name_space, repository.text()));
  if (!target) return make_error(ErrorCode::repository_unknown, "there is no such repository");

  BERTH_CHECK(unbind(index, *target, context.uptime + periods.undo_window));
  index.touch(name_space, repository.text(), "");
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
