#include "registry/identities/commands/fold_uses.h"

namespace berth::registry {

namespace {

constexpr std::string_view kUser = "user:";
constexpr std::string_view kRobot = "robot:";

/// Sets a later time on one record, if it is there.
template <class Key>
Result<void> move_forward(Index& index, const Key& key, WallTime Key::Record::*member, WallTime when) {
  BERTH_TRY(auto record, index.get(key));
  if (!record || (*record).*member >= when) return {};
  (*record).*member = when;
  index.put(key, *record);
  return {};
}

Result<void> fold(Index& index, const IdentityUse& use) {
  const std::string& subject = use.subject;
  if (use.kind == IdentityUse::Kind::login) {
    if (!subject.starts_with(kUser)) return {};
    return move_forward(index, UserKey{subject.substr(kUser.size())}, &UserRecord::last_login_at, use.when);
  }
  const CredentialKey key{subject, use.credential_kind, use.credential};
  BERTH_CHECK(move_forward(index, key, &CredentialRecord::last_used_at, use.when));
  if (!subject.starts_with(kRobot)) return {};
  return move_forward(index, RobotKey{subject.substr(kRobot.size())}, &RobotRecord::last_used_at, use.when);
}

}  // namespace

Result<FoldUses::Outcome> FoldUses::apply(kv::Transaction& transaction) {
  Index index(transaction, CommandKind::fold_uses, context);
  for (const IdentityUse& use : entries) BERTH_CHECK(fold(index, use));
  index.record_change();
  return Outcome{};
}

}  // namespace berth::registry
