// Who may come in, in the index: the family `identities` and its one kind of entry in `queues`. One type per kind of
// record that knows its own key bytes, as in registry/keys.h; values are in identities/records.h.
//
//   family      prefix  key                                                value
//   identities  01      actor u64                                          ActorRecord
//               02      subject                                            ActorBinding
//               03      user name                                          UserRecord
//               04      user name                                          PasswordRecord         (this node only)
//               05      group name                                         GroupRecord
//               06      group u64                                          GroupNameRecord
//               07      group u64, user name                               EmptyRecord            (users of a group)
//               08      subject 00, group u64                              EmptyRecord            (members from outside)
//               09      robot name                                         RobotRecord
//               0a      owner 00, kind u8, credential u64                  CredentialRecord
//               0b      SHA-256                                            SecretRecord           (this node only)
//               0c      credential u64                                     SecretOfRecord         (this node only)
//               0d      role name                                          RoleRecord
//               0e      grant u64                                          GrantRecord
//               0f      subject 00, grant u64                              EmptyRecord            (grants of a subject)
//               10      role name 00, grant u64                            EmptyRecord            (grants of a role)
//               11      key id                                             SigningKeyRecord
//               12      key id                                             SigningSecretRecord    (this node only)
//               13      SHA-256                                            SetupRecord            (this node only)
//               14      -                                                  TotalsRecord
//   queues      03      due u64, kind u8, id u64                           EmptyRecord            (this node only)
//
// Whatever somebody could come in with, hashed or not, stands in records of its own that the change log leaves out: who
// reads the log for events cannot learn it. All numbers here reach the disk: never renumber.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "registry/actor.h"
#include "registry/keys.h"

namespace berth::registry {

/// A number that a change of an identity was given. Versions and ids of groups, credentials and grants are such: none
/// is ever given twice.
using IdentityNumber = std::uint64_t;

/// SHA-256 of a secret that was drawn at random; made by the caller. Never printed.
using SecretHash = std::array<std::byte, 32>;

/// What somebody can come in with, beside a password. On disk: never renumber.
enum class CredentialKind : std::uint8_t {
  robot_secret = 1,
  personal_token = 2,
  refresh_token = 3,
};

/// What the sweep works off.
enum class IdentityDueKind : std::uint8_t {
  credential = 1,  ///< it may have expired
  group = 2,       ///< a deleted group still has users
};

struct ActorRecord;
struct ActorBinding;
struct UserRecord;
struct PasswordRecord;
struct GroupRecord;
struct GroupNameRecord;
struct RobotRecord;
struct CredentialRecord;
struct SecretRecord;
struct SecretOfRecord;
struct RoleRecord;
struct GrantRecord;
struct SigningKeyRecord;
struct SigningSecretRecord;
struct SetupRecord;
struct TotalsRecord;

struct ActorKey {
  using Record = ActorRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  ActorId actor = 0;
  std::string encode() const;
  static Result<ActorKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const ActorKey&) const = default;
};

/// Subject text → the actor that it is now.
struct ActorOfKey {
  using Record = ActorBinding;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string subject;
  std::string encode() const;
  static Result<ActorOfKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const ActorOfKey&) const = default;
};

struct UserKey {
  using Record = UserRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string name;
  std::string encode() const;
  static Result<UserKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const UserKey&) const = default;
};

struct PasswordKey {
  using Record = PasswordRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = false;
  std::string user;
  std::string encode() const;
  static Result<PasswordKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const PasswordKey&) const = default;
};

struct GroupKey {
  using Record = GroupRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string name;
  std::string encode() const;
  static Result<GroupKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const GroupKey&) const = default;
};

/// Id → name. Absent: the group was deleted, and whoever still counts as its member does not.
struct GroupNameKey {
  using Record = GroupNameRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  IdentityNumber group = 0;
  std::string encode() const;
  static Result<GroupNameKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const GroupNameKey&) const = default;
};

struct GroupUserKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  IdentityNumber group = 0;
  std::string user;
  std::string encode() const;
  static Result<GroupUserKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(IdentityNumber group);
  auto operator<=>(const GroupUserKey&) const = default;
};

/// Which groups a subject that is no local user is listed in.
struct MembershipKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string subject;
  IdentityNumber group = 0;
  std::string encode() const;
  static Result<MembershipKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(std::string_view subject);
  auto operator<=>(const MembershipKey&) const = default;
};

struct RobotKey {
  using Record = RobotRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string name;
  std::string encode() const;
  static Result<RobotKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const RobotKey&) const = default;
};

struct CredentialKey {
  using Record = CredentialRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string owner;  ///< subject text
  CredentialKind kind = CredentialKind::personal_token;
  IdentityNumber id = 0;
  std::string encode() const;
  static Result<CredentialKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(std::string_view owner);
  static std::string prefix(std::string_view owner, CredentialKind kind);
  auto operator<=>(const CredentialKey&) const = default;
};

/// How a credential is found when it is shown.
struct SecretKey {
  using Record = SecretRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = false;
  SecretHash hash{};
  std::string encode() const;
  static Result<SecretKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const SecretKey&) const = default;
};

struct SecretOfKey {
  using Record = SecretOfRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = false;
  IdentityNumber credential = 0;
  std::string encode() const;
  static Result<SecretOfKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const SecretOfKey&) const = default;
};

struct RoleKey {
  using Record = RoleRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string name;
  std::string encode() const;
  static Result<RoleKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const RoleKey&) const = default;
};

struct GrantKey {
  using Record = GrantRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  IdentityNumber grant = 0;
  std::string encode() const;
  static Result<GrantKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const GrantKey&) const = default;
};

struct GrantOfKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string subject;
  IdentityNumber grant = 0;
  std::string encode() const;
  static Result<GrantOfKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(std::string_view subject);
  auto operator<=>(const GrantOfKey&) const = default;
};

struct RoleUseKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string role;
  IdentityNumber grant = 0;
  std::string encode() const;
  static Result<RoleUseKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(std::string_view role);
  auto operator<=>(const RoleUseKey&) const = default;
};

struct SigningKeyKey {
  using Record = SigningKeyRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string id;
  std::string encode() const;
  static Result<SigningKeyKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const SigningKeyKey&) const = default;
};

struct SigningSecretKey {
  using Record = SigningSecretRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = false;
  std::string id;
  std::string encode() const;
  static Result<SigningSecretKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const SigningSecretKey&) const = default;
};

/// A set-up secret that was used: it opens nothing any more.
struct SetupKey {
  using Record = SetupRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = false;
  SecretHash hash{};
  std::string encode() const;
  static Result<SetupKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const SetupKey&) const = default;
};

struct TotalsKey {
  using Record = TotalsRecord;
  static constexpr kv::Family kFamily = family::identities;
  static constexpr bool kReplicated = true;
  std::string encode() const;
  static std::string prefix() { return TotalsKey{}.encode(); }
};

struct IdentityDueKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::queues;
  static constexpr bool kReplicated = false;
  Uptime due{0};
  IdentityDueKind kind = IdentityDueKind::credential;
  IdentityNumber id = 0;
  std::string encode() const;
  static Result<IdentityDueKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const IdentityDueKey&) const = default;
};

}  // namespace berth::registry
