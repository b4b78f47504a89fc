#include "registry/identities/commands/setup.h"

#include "registry/identities/commands/grants.h"
#include "registry/identities/commands/users.h"

namespace berth::registry {

Result<UseSetupSecret::Outcome> UseSetupSecret::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::use_setup_secret, context);
  BERTH_TRY(const auto used, change.index().get(SetupKey{hash}));
  if (used) return make_error(ErrorCode::denied, "this set-up secret was used; it opens nothing more");
  BERTH_CHECK(change.check_room(&TotalsRecord::grants, identity_limits::grants, "grants"));
  BERTH_TRY(User made, make_user(change, user));
  GrantContent grant;
  grant.subjects = {user_subject(user.name)};
  grant.repositories = {"**"};
  grant.role = "admin";
  grant.description = "made with the set-up secret";
  BERTH_CHECK(put_new_grant(change, grant));
  change.index().put(SetupKey{hash}, {.used_at = context.now, .user = user.name});
  change.finish();
  return made;
}

}  // namespace berth::registry
