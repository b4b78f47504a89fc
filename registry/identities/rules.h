// What an identity may look like: names, subjects, texts and how many of everything. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "registry/identities/records.h"

namespace berth::registry {

/// Bounds of everything that somebody may make more or longer. What passes one is refused as request_invalid.
namespace identity_limits {
inline constexpr std::size_t name_bytes = 64;
inline constexpr std::size_t subject_bytes = 512;
inline constexpr std::size_t display_name_bytes = 256;
inline constexpr std::size_t email_bytes = 254;
inline constexpr std::size_t description_bytes = 1024;
inline constexpr std::size_t password_hash_bytes = 512;
inline constexpr std::size_t token_name_bytes = 128;
inline constexpr std::size_t service_bytes = 256;
inline constexpr std::size_t signing_key_id_bytes = 128;
inline constexpr std::size_t signing_algorithm_bytes = 32;
inline constexpr std::size_t signing_key_bytes = 16 << 10;

inline constexpr std::size_t groups_per_user = 200;  ///< and per member from outside
inline constexpr std::size_t members_per_group = 1000;  ///< from outside; local users are not bounded
inline constexpr std::size_t secrets_per_robot = 2;
inline constexpr std::size_t tokens_per_owner = 100;
inline constexpr std::size_t refresh_tokens_per_owner = 100;
inline constexpr std::size_t subjects_per_grant = 100;
inline constexpr std::size_t patterns_per_grant = 100;  ///< of repositories, and of tags
inline constexpr std::size_t grants_per_subject = 200;
inline constexpr std::size_t ceiling_entries = 20;
inline constexpr std::size_t patterns_per_ceiling_entry = 20;
inline constexpr std::size_t signing_keys = 16;

inline constexpr std::uint64_t users = 1'000'000;
inline constexpr std::uint64_t robots = 1'000'000;
inline constexpr std::uint64_t groups = 10'000;
inline constexpr std::uint64_t roles = 1'000;
inline constexpr std::uint64_t grants = 10'000;
}  // namespace identity_limits

/// A look-up or a change of an identity that is not there answers this, …
inline constexpr ErrorCode kIdentityUnknown = ErrorCode::route_unknown;
/// … and a change that what is there stands against (a name that is taken, a role in use, another version) this.
inline constexpr ErrorCode kIdentityConflict = ErrorCode::precondition_failed;

/// A role that is there from the start and cannot be changed.
struct BuiltInRole {
  std::string_view name;
  ActionMask actions;
  std::string_view description;
};
inline constexpr BuiltInRole kBuiltInRoles[] = {
    {"admin", action::all, "everything; on ** the whole registry"},
    {"maintainer", action::pull | action::push | action::overwrite | action::remove, "writer, and delete"},
    {"reader", action::pull, "pull"},
    {"writer", action::pull | action::push | action::overwrite, "pull, push, move tags"},
};
const BuiltInRole* find_built_in_role(std::string_view name);

/// Upper-case letters of ASCII become lower-case ones: names are kept and looked up like that.
std::string lower_case(std::string_view name);

/// Of users, robots, groups and roles: [a-z0-9]([a-z0-9._@-]{0,62}[a-z0-9])?. Errors: request_invalid, which begins with
/// `what` ("the name of a user").
Result<void> check_name(std::string_view name, std::string_view what);

/// Text for people: UTF-8 without control characters, at most so many bytes. Errors: request_invalid.
Result<void> check_text(std::string_view text, std::size_t bytes_max, std::string_view what);

enum class SubjectKind : std::uint8_t { user, robot, group, federated, certificate, authenticated, anonymous };

/// `user:NAME`, `robot:NAME`, `group:NAME`, `federated:ISSUER:SUB`, `certificate:NAME`, `authenticated`, `anonymous`.
/// Errors: request_invalid.
Result<SubjectKind> parse_subject(std::string_view subject);

/// The names of users, robots and groups in it in lower case; the rest as it is.
std::string lower_case_subject(std::string_view subject);

inline std::string user_subject(std::string_view name) { return "user:" + std::string(name); }
inline std::string robot_subject(std::string_view name) { return "robot:" + std::string(name); }
inline std::string group_subject(std::string_view name) { return "group:" + std::string(name); }

/// At least one action, and none that is not there. Errors: request_invalid.
Result<void> check_actions(ActionMask actions);

/// 0 (never), or later than now and before the year 10000. Errors: request_invalid.
Result<void> check_expiry(WallTime expires_at, WallTime now);

/// Between `count_min` and `count_max` patterns, none twice. Errors: request_invalid.
Result<void> check_repository_patterns(const std::vector<std::string>& patterns, std::size_t count_min,
                                       std::size_t count_max);
Result<void> check_tag_patterns(const std::vector<std::string>& patterns, std::size_t count_max);
/// Errors: request_invalid.
Result<void> check_ceiling(const Ceiling& ceiling);

Error invalid(std::string message);
Error unknown_identity(std::string_view what, std::string_view name);
Error identity_conflict(std::string message);

}  // namespace berth::registry
