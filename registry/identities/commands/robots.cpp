#include "registry/identities/commands/robots.h"

#include "registry/identities/commands/credentials.h"
#include "registry/identities/commands/grants.h"
#include "registry/identities/commands/groups.h"
#include "registry/identities/queries.h"

namespace berth::registry {

Result<CreateRobot::Outcome> CreateRobot::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::create_robot, context);
  BERTH_CHECK(check_name(robot.name, "the name of a robot"));
  BERTH_CHECK(check_text(robot.description, identity_limits::description_bytes, "a description"));
  BERTH_CHECK(check_ceiling(robot.ceiling));
  BERTH_CHECK(check_expiry(robot.expires_at, context.now));
  if (robot.secret) BERTH_CHECK(check_credential(change, CredentialKind::robot_secret, *robot.secret));
  BERTH_TRY(const auto taken, change.index().get(RobotKey{robot.name}));
  if (taken) return identity_conflict("there is a robot " + robot.name + " already");
  BERTH_CHECK(change.check_room(&TotalsRecord::robots, identity_limits::robots, "robots"));

  BERTH_CHECK(change.begin());
  const std::string subject = robot_subject(robot.name);
  RobotRecord record;
  BERTH_TRY(record.actor, bind_actor(change, subject));
  record.version = change.number();
  record.enabled = robot.enabled;
  record.description = robot.description;
  record.ceiling = robot.ceiling;
  record.created_at = context.now;
  record.expires_at = robot.expires_at;
  change.index().put(RobotKey{robot.name}, record);
  if (robot.secret) put_credential(change, CredentialKind::robot_secret, subject, *robot.secret, expired_keep);
  BERTH_CHECK(change.count(&TotalsRecord::robots, 1));
  change.finish();
  return robot_of(change.reader(), robot.name, record);
}

Result<UpdateRobot::Outcome> UpdateRobot::apply(kv::Transaction& transaction) {
  IdentityChange edit(transaction, CommandKind::update_robot, context);
  BERTH_TRY(auto record, edit.index().get(RobotKey{name}));
  if (!record) return unknown_identity("robot", name);
  BERTH_CHECK(check_version(if_version, record->version));
  BERTH_CHECK(check_text(change.description.value_or(""), identity_limits::description_bytes, "a description"));
  if (change.ceiling) BERTH_CHECK(check_ceiling(*change.ceiling));
  if (change.expires_at) BERTH_CHECK(check_expiry(*change.expires_at, context.now));

  BERTH_CHECK(edit.begin());
  record->version = edit.number();
  if (change.enabled) record->enabled = *change.enabled;
  if (change.description) record->description = *change.description;
  if (change.ceiling) record->ceiling = *change.ceiling;
  if (change.expires_at) record->expires_at = *change.expires_at;
  edit.index().put(RobotKey{name}, *record);
  edit.finish();
  return robot_of(edit.reader(), name, *record);
}

Result<DeleteRobot::Outcome> DeleteRobot::apply(kv::Transaction& transaction) {
  IdentityChange change(transaction, CommandKind::delete_robot, context);
  BERTH_TRY(const auto record, change.index().get(RobotKey{name}));
  if (!record) return unknown_identity("robot", name);
  BERTH_CHECK(check_version(if_version, record->version));

  BERTH_CHECK(change.begin());
  const std::string subject = robot_subject(name);
  BERTH_CHECK(erase_credentials(change, subject));
  BERTH_CHECK(erase_mentions(change, subject));
  BERTH_CHECK(erase_memberships(change, subject));
  BERTH_CHECK(unbind_actor(change, subject, Erasure::keep_name));
  change.index().erase(RobotKey{name});
  BERTH_CHECK(change.count(&TotalsRecord::robots, -1));
  change.finish();
  return Outcome{};
}

}  // namespace berth::registry
