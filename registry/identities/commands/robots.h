// Robots: identities of programs. Their secrets are credentials.
#pragma once

#include "registry/identities/commands/change.h"

namespace berth::registry {

struct CreateRobot {
  using Outcome = Robot;
  CommandContext context;
  NewRobot robot;
  std::chrono::milliseconds expired_keep{0};
  /// Errors: request_invalid, kIdentityConflict (the name is taken, the secret is in use).
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct UpdateRobot {
  using Outcome = Robot;
  CommandContext context;
  std::string name;
  RobotChange change;
  IfVersion if_version = {};
  /// Errors: request_invalid, kIdentityUnknown, kIdentityConflict.
  Result<Outcome> apply(kv::Transaction& transaction);
};

struct DeleteRobot {
  struct Outcome {};
  CommandContext context;
  std::string name;
  IfVersion if_version = {};
  /// Secrets, tokens and mentions in grants go along. Errors: kIdentityUnknown, kIdentityConflict.
  Result<Outcome> apply(kv::Transaction& transaction);
};

}  // namespace berth::registry
