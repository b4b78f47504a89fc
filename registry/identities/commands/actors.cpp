#include "registry/identities/commands/actors.h"

#include "registry/identities/commands/credentials.h"

namespace berth::registry {

namespace {

/// Is the subject a user or robot of this registry?
Result<bool> is_local(const IdentityChange& change, const std::string& subject) {
  BERTH_TRY(const SubjectKind kind, parse_subject(subject));
  const std::string name = subject.substr(subject.find(':') + 1);
  if (kind == SubjectKind::user) {
    BERTH_TRY(const auto user, get(change.reader(), UserKey{name}));
    return user.has_value();
  }
  if (kind == SubjectKind::robot) {
    BERTH_TRY(const auto robot, get(change.reader(), RobotKey{name}));
    return robot.has_value();
  }
  return false;
}

}  // namespace

Result<NameActor::Outcome> NameActor::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::name_actor, context);
  BERTH_TRY(const auto bound, change.index().get(ActorOfKey{subject}));
  if (bound) return Outcome{bound->actor};
  BERTH_CHECK(check_acts(subject));
  BERTH_CHECK(change.begin());
  BERTH_TRY(const ActorId actor, bind_actor(change, subject));
  change.index().record_change();  // no answer that somebody may keep has changed
  return Outcome{actor};
}

Result<EraseActor::Outcome> EraseActor::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::erase_actor, context);
  BERTH_TRY(auto record, change.index().get(ActorKey{actor}));
  if (!record) return unknown_identity("actor", std::to_string(actor));
  if (record->subject.empty()) return Outcome{};
  BERTH_TRY(const auto bound, change.index().get(ActorOfKey{record->subject}));
  const bool is_bound = bound && bound->actor == actor;
  if (is_bound) {
    BERTH_TRY(const bool local, is_local(change, record->subject));
    if (local) return identity_conflict("delete " + record->subject + " itself");
    BERTH_CHECK(erase_credentials(change, record->subject));
    change.index().erase(ActorOfKey{record->subject});
  }
  record->subject.clear();
  change.index().put(ActorKey{actor}, *record);
  change.finish();
  return Outcome{};
}

}  // namespace berth::registry
