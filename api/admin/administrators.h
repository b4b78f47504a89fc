// Nobody locks the door behind the last administrator, nor behind themselves.
//
// Looked at before the change: two changes at the same moment may each leave the other's administrator. The local
// socket lets in whoever has berth's own user, so that is mended without losing anything.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/context.h"
#include "base/task.h"
#include "registry/identities/values.h"

namespace berth::api::admin {

/// What is about to be different.
struct AccessChange {
  std::string user_gone = {};  ///< name of one that is deleted or may not come in any more
  std::string user_moved = {};  ///< name of one …
  std::vector<std::string> groups = {};  ///< … that is in these groups from then on; names
  std::string group_gone = {};
  std::optional<registry::IdentityNumber> grant = {};   ///< one that goes …
  std::optional<registry::GrantContent> replaced = {};  ///< … or becomes this
  std::string role = {};                                ///< a stored one …
  registry::ActionMask actions = 0;                     ///< … that allows these from then on
};

/// Errors: precondition_failed, as conflict() makes it: nobody would be administrator any more, or the caller would not.
Task<void> check_administrators_stay(Context& context, AccessChange change);

}  // namespace berth::api::admin
