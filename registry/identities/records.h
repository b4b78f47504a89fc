// The values of the family `identities`. Form and rules as in registry/records.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "registry/identities/keys.h"
#include "registry/records.h"

namespace berth::registry {

/// A set of actions, as bits. What each means is decided above; here they are kept.
using ActionMask = std::uint64_t;
namespace action {
inline constexpr ActionMask pull = 1, push = 2, overwrite = 4, remove = 8, admin = 16, metrics = 32,
                            all = 63;
}  // namespace action

/// One line of a ceiling: at most these actions on what one of the patterns matches.
struct CeilingEntry {
  std::vector<std::string> repositories;
  ActionMask actions = 0;
  std::string unknown = {};
  bool operator==(const CeilingEntry&) const = default;
};
/// What a credential is good for at most. None: whatever its owner may do. A ceiling without a line is never stored.
using Ceiling = std::optional<std::vector<CeilingEntry>>;

enum class ActorKind : std::uint8_t { user = 1, robot = 2, federated = 3, certificate = 4 };

/// Stays for ever, so that histories can be read.
struct ActorRecord {
  ActorKind kind = ActorKind::user;
  std::string subject;  ///< empty: the person was erased
  WallTime created_at{};
  std::string unknown = {};
  bool operator==(const ActorRecord&) const = default;
};

struct ActorBinding {
  ActorId actor = 0;
  std::string unknown = {};
  bool operator==(const ActorBinding&) const = default;
};

struct UserRecord {
  ActorId actor = 0;
  IdentityNumber version = 0;
  bool enabled = false;
  std::string display_name = {};
  std::string email = {};
  std::vector<IdentityNumber> groups = {};  ///< ascending; those of deleted groups may still stand here
  WallTime created_at{};
  WallTime password_changed_at{};  ///< 0: has no password
  WallTime last_login_at{};
  std::string unknown = {};
  bool operator==(const UserRecord&) const = default;
};

struct PasswordRecord {
  std::string hash;  ///< PHC text
  std::string unknown = {};
  bool operator==(const PasswordRecord&) const = default;
};

struct GroupRecord {
  IdentityNumber id = 0;
  IdentityNumber version = 0;
  std::string description = {};
  std::vector<std::string> members = {};  ///< from outside: subjects, ascending. Local users know their groups themselves
  WallTime created_at{};
  std::string unknown = {};
  bool operator==(const GroupRecord&) const = default;
};

struct GroupNameRecord {
  std::string name;
  std::string unknown = {};
  bool operator==(const GroupNameRecord&) const = default;
};

struct RobotRecord {
  ActorId actor = 0;
  IdentityNumber version = 0;
  bool enabled = false;
  std::string description = {};
  Ceiling ceiling = {};
  WallTime created_at{};
  WallTime expires_at{};  ///< 0: never
  WallTime last_used_at{};
  std::string unknown = {};
  bool operator==(const RobotRecord&) const = default;
};

struct CredentialRecord {
  std::string name = {};
  std::string service = {};    ///< of a refresh token
  std::string client_id = {};  ///< of a refresh token
  Ceiling ceiling = {};
  WallTime created_at{};
  ActorId created_by = kSystemActor;
  WallTime expires_at{};  ///< 0: never
  WallTime last_used_at{};
  std::string unknown = {};
  bool operator==(const CredentialRecord&) const = default;
};

/// All that is to be known of a credential that is shown, so that one get tells it.
struct SecretRecord {
  CredentialKind kind = CredentialKind::personal_token;
  std::string owner;
  IdentityNumber id = 0;
  std::string name = {};
  std::string service = {};
  std::string client_id = {};
  Ceiling ceiling = {};
  WallTime created_at{};
  WallTime expires_at{};
  Uptime due{0};  ///< its entry in the queue; 0: it never expires and has none
  std::string unknown = {};
  bool operator==(const SecretRecord&) const = default;
};

struct SecretOfRecord {
  std::string hash;  ///< 32 bytes
  std::string unknown = {};
  bool operator==(const SecretOfRecord&) const = default;
};

struct RoleRecord {
  IdentityNumber version = 0;
  ActionMask actions = 0;
  std::string description = {};
  WallTime created_at{};
  std::string unknown = {};
  bool operator==(const RoleRecord&) const = default;
};

struct GrantRecord {
  IdentityNumber version = 0;
  std::vector<std::string> subjects;
  std::vector<std::string> repositories;  ///< patterns
  ActionMask actions = 0;                 ///< 0: those of `role`
  std::string role = {};
  std::vector<std::string> tags = {};  ///< patterns; none: every tag
  std::string description = {};
  WallTime created_at{};
  ActorId created_by = kSystemActor;
  std::string unknown = {};
  bool operator==(const GrantRecord&) const = default;
};

/// On disk: never renumber.
enum class SigningKeyState : std::uint8_t {
  next = 1,     ///< published, signs nothing yet
  active = 2,   ///< signs; at most one
  retired = 3,  ///< signs nothing more; what it signed is still good
};

struct SigningKeyRecord {
  IdentityNumber version = 0;
  SigningKeyState state = SigningKeyState::next;
  std::string algorithm;
  WallTime created_at{};
  WallTime activated_at{};
  WallTime retired_at{};
  std::string unknown = {};
  bool operator==(const SigningKeyRecord&) const = default;
};

struct SigningSecretRecord {
  std::string pkcs8;  ///< DER
  std::string unknown = {};
  bool operator==(const SigningSecretRecord&) const = default;
};

struct SetupRecord {
  WallTime used_at{};
  std::string user;  ///< whom it made
  std::string unknown = {};
  bool operator==(const SetupRecord&) const = default;
};

/// How many there are.
struct TotalsRecord {
  std::uint64_t users = 0;
  std::uint64_t groups = 0;
  std::uint64_t robots = 0;
  std::uint64_t roles = 0;
  std::uint64_t grants = 0;
  std::string unknown = {};
  bool operator==(const TotalsRecord&) const = default;
};

#define BERTH_RECORD(Record)                \
  template <>                               \
  std::string encode(const Record& record); \
  template <>                               \
  Result<Record> decode(std::string_view bytes)
BERTH_RECORD(ActorRecord);
BERTH_RECORD(ActorBinding);
BERTH_RECORD(UserRecord);
BERTH_RECORD(PasswordRecord);
BERTH_RECORD(GroupRecord);
BERTH_RECORD(GroupNameRecord);
BERTH_RECORD(RobotRecord);
BERTH_RECORD(CredentialRecord);
BERTH_RECORD(SecretRecord);
BERTH_RECORD(SecretOfRecord);
BERTH_RECORD(RoleRecord);
BERTH_RECORD(GrantRecord);
BERTH_RECORD(SigningKeyRecord);
BERTH_RECORD(SigningSecretRecord);
BERTH_RECORD(SetupRecord);
BERTH_RECORD(TotalsRecord);
#undef BERTH_RECORD

}  // namespace berth::registry
