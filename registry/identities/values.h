// Plain values that cross the front door of the identities.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "registry/identities/records.h"

namespace berth::registry {

/// A change that is only wanted of the version that the caller saw.
using IfVersion = std::optional<IdentityNumber>;

struct User {
  std::string name;
  ActorId actor = 0;
  IdentityNumber version = 0;
  bool enabled = false;
  std::string display_name;
  std::string email;
  std::vector<std::string> groups;  ///< names, ascending
  WallTime created_at{};
  WallTime password_changed_at{};  ///< 0: has no password
  WallTime last_login_at{};        ///< 0: never
  bool operator==(const User&) const = default;
};
struct NewUser {
  std::string name;
  std::string password_hash = {};  ///< PHC text; empty: cannot come in with a password
  bool enabled = true;
  std::string display_name = {};
  std::string email = {};
  std::vector<std::string> groups = {};  ///< names
};
/// What is not set stays.
struct UserChange {
  std::optional<std::string> password_hash = {};  ///< empty text: takes the password away
  std::optional<bool> enabled = {};
  std::optional<std::string> display_name = {};
  std::optional<std::string> email = {};
  std::optional<std::vector<std::string>> groups = {};
};
/// What whoever checks a password needs. Never goes out.
struct LoginUser {
  User user;
  std::string password_hash;
};
/// Does a deleted user stay in histories by name, or only as a number?
enum class Erasure : std::uint8_t { keep_name, erase_name };

struct Group {
  std::string name;
  IdentityNumber id = 0;
  IdentityNumber version = 0;
  std::string description;
  std::vector<std::string> members;  ///< from outside: subjects, ascending
  WallTime created_at{};
  bool operator==(const Group&) const = default;
};
struct NewGroup {
  std::string name;
  std::string description = {};
  std::vector<std::string> members = {};
};
struct GroupChange {
  std::optional<std::string> description = {};
  std::optional<std::vector<std::string>> members = {};
};

/// A robot secret, a personal token or a refresh token, without anything that one could come in with.
struct Credential {
  CredentialKind kind = CredentialKind::personal_token;
  std::string owner;  ///< subject
  IdentityNumber id = 0;
  std::string name;
  std::string service;
  std::string client_id;
  Ceiling ceiling;
  WallTime created_at{};
  WallTime expires_at{};    ///< 0: never. What has passed it opens nothing: the caller looks
  WallTime last_used_at{};  ///< 0: never, or found by its hash
  bool operator==(const Credential&) const = default;
};
struct NewCredential {
  SecretHash hash{};
  std::string name = {};
  std::string service = {};    ///< of a refresh token
  std::string client_id = {};  ///< of a refresh token
  Ceiling ceiling = {};
  WallTime expires_at{};  ///< 0: never
};
/// Where the owner of a token is known from. A local one must be there when the token is made; whether one from outside
/// (LDAP, an issuer, a certificate) still is, is asked there at every use.
enum class OwnerOrigin : std::uint8_t { local, outside };

struct Robot {
  std::string name;
  ActorId actor = 0;
  IdentityNumber version = 0;
  bool enabled = false;
  std::string description;
  Ceiling ceiling;
  WallTime created_at{};
  WallTime expires_at{};    ///< 0: never
  WallTime last_used_at{};  ///< 0: never
  std::vector<Credential> secrets;
  bool operator==(const Robot&) const = default;
};
struct NewRobot {
  std::string name;
  bool enabled = true;
  std::string description = {};
  Ceiling ceiling = {};
  WallTime expires_at{};                      ///< 0: never
  std::optional<NewCredential> secret = {};  ///< its first one
};
struct RobotChange {
  std::optional<bool> enabled = {};
  std::optional<std::string> description = {};
  std::optional<Ceiling> ceiling = {};
  std::optional<WallTime> expires_at = {};
};

struct Role {
  std::string name;
  IdentityNumber version = 0;  ///< 0: built in
  ActionMask actions = 0;
  std::string description;
  WallTime created_at{};
  bool built_in() const { return version == 0; }
  bool operator==(const Role&) const = default;
};
struct NewRole {
  std::string name;
  ActionMask actions = 0;
  std::string description = {};
};
struct RoleChange {
  std::optional<ActionMask> actions = {};
  std::optional<std::string> description = {};
};

/// What a grant says. Exactly one of `actions` and `role` is set.
struct GrantContent {
  std::vector<std::string> subjects;
  std::vector<std::string> repositories;  ///< patterns
  ActionMask actions = 0;
  std::string role = {};
  std::vector<std::string> tags = {};  ///< patterns; none: every tag
  std::string description = {};
  bool operator==(const GrantContent&) const = default;
};
struct StoredGrant {
  IdentityNumber id = 0;
  IdentityNumber version = 0;
  GrantContent content;
  WallTime created_at{};
  ActorId created_by = kSystemActor;
  bool operator==(const StoredGrant&) const = default;
};

struct TokenKey {
  std::string id;
  IdentityNumber version = 0;
  SigningKeyState state = SigningKeyState::next;
  std::string algorithm;
  std::string pkcs8;  ///< DER. Never goes out
  WallTime created_at{};
  WallTime activated_at{};
  WallTime retired_at{};
};
struct NewTokenKey {
  std::string id;
  std::string algorithm;
  std::string pkcs8;
};

struct ActorName {
  ActorId actor = 0;
  ActorKind kind = ActorKind::user;
  std::string subject;  ///< empty: erased
  WallTime created_at{};
};

template <class Item>
struct IdentityPage {
  std::vector<Item> items;
  bool more = false;
};

/// All that a policy is made of. Const.
struct PolicySnapshot {
  std::uint64_t version = 0;  ///< moves with every change of what is in it, within this process
  std::vector<Role> roles;    ///< stored ones; the built-in ones are kBuiltInRoles
  std::vector<StoredGrant> grants;
  std::vector<std::string> groups;  ///< names
};

/// Somebody came in.
struct IdentityUse {
  enum class Kind : std::uint8_t { login, credential };
  Kind kind = Kind::login;
  std::string subject;  ///< of the user; of the credential's owner
  CredentialKind credential_kind = CredentialKind::personal_token;
  IdentityNumber credential = 0;
  WallTime when{};
};

}  // namespace berth::registry
