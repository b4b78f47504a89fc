#include "registry/identities/keys.h"

#include <cstring>

#include "registry/key_bytes.h"

namespace berth::registry {

namespace {

// The prefix byte of each kind of record. On disk: never renumber.
enum Identities : std::uint8_t {
  kActor = 1,
  kActorOf = 2,
  kUser = 3,
  kPassword = 4,
  kGroup = 5,
  kGroupName = 6,
  kGroupUser = 7,
  kMembership = 8,
  kRobot = 9,
  kCredential = 10,
  kSecret = 11,
  kSecretOf = 12,
  kRole = 13,
  kGrant = 14,
  kGrantOf = 15,
  kRoleUse = 16,
  kSigningKey = 17,
  kSigningSecret = 18,
  kSetup = 19,
  kTotals = 20,
};
enum Queues : std::uint8_t { kIdentityDue = 3 };

std::string_view text_of(const SecretHash& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

SecretHash take_hash(KeyReader& in) {
  SecretHash hash{};
  const std::string bytes = in.bytes(hash.size());
  if (bytes.size() == hash.size()) std::memcpy(hash.data(), bytes.data(), hash.size());
  return hash;
}

}  // namespace

std::string ActorKey::encode() const { return KeyWriter(kActor).u64(actor); }
std::string ActorKey::prefix() { return KeyWriter(kActor); }
Result<ActorKey> ActorKey::decode(std::string_view key) {
  KeyReader in(key, kActor);
  ActorKey out;
  out.actor = in.u64();
  return in.end(std::move(out));
}

std::string ActorOfKey::encode() const { return KeyWriter(kActorOf).last(subject); }
std::string ActorOfKey::prefix() { return KeyWriter(kActorOf); }
Result<ActorOfKey> ActorOfKey::decode(std::string_view key) {
  KeyReader in(key, kActorOf);
  ActorOfKey out;
  out.subject = in.last();
  return in.end(std::move(out));
}

std::string UserKey::encode() const { return KeyWriter(kUser).last(name); }
std::string UserKey::prefix() { return KeyWriter(kUser); }
Result<UserKey> UserKey::decode(std::string_view key) {
  KeyReader in(key, kUser);
  UserKey out;
  out.name = in.last();
  return in.end(std::move(out));
}

std::string PasswordKey::encode() const { return KeyWriter(kPassword).last(user); }
std::string PasswordKey::prefix() { return KeyWriter(kPassword); }
Result<PasswordKey> PasswordKey::decode(std::string_view key) {
  KeyReader in(key, kPassword);
  PasswordKey out;
  out.user = in.last();
  return in.end(std::move(out));
}

std::string GroupKey::encode() const { return KeyWriter(kGroup).last(name); }
std::string GroupKey::prefix() { return KeyWriter(kGroup); }
Result<GroupKey> GroupKey::decode(std::string_view key) {
  KeyReader in(key, kGroup);
  GroupKey out;
  out.name = in.last();
  return in.end(std::move(out));
}

std::string GroupNameKey::encode() const { return KeyWriter(kGroupName).u64(group); }
std::string GroupNameKey::prefix() { return KeyWriter(kGroupName); }
Result<GroupNameKey> GroupNameKey::decode(std::string_view key) {
  KeyReader in(key, kGroupName);
  GroupNameKey out;
  out.group = in.u64();
  return in.end(std::move(out));
}

std::string GroupUserKey::encode() const { return KeyWriter(kGroupUser).u64(group).last(user); }
std::string GroupUserKey::prefix() { return KeyWriter(kGroupUser); }
std::string GroupUserKey::prefix(IdentityNumber group) { return KeyWriter(kGroupUser).u64(group); }
Result<GroupUserKey> GroupUserKey::decode(std::string_view key) {
  KeyReader in(key, kGroupUser);
  GroupUserKey out;
  out.group = in.u64();
  out.user = in.last();
  return in.end(std::move(out));
}

std::string MembershipKey::encode() const { return KeyWriter(kMembership).text(subject).u64(group); }
std::string MembershipKey::prefix() { return KeyWriter(kMembership); }
std::string MembershipKey::prefix(std::string_view subject) { return KeyWriter(kMembership).text(subject); }
Result<MembershipKey> MembershipKey::decode(std::string_view key) {
  KeyReader in(key, kMembership);
  MembershipKey out;
  out.subject = in.text();
  out.group = in.u64();
  return in.end(std::move(out));
}

std::string RobotKey::encode() const { return KeyWriter(kRobot).last(name); }
std::string RobotKey::prefix() { return KeyWriter(kRobot); }
Result<RobotKey> RobotKey::decode(std::string_view key) {
  KeyReader in(key, kRobot);
  RobotKey out;
  out.name = in.last();
  return in.end(std::move(out));
}

std::string CredentialKey::encode() const { return KeyWriter(kCredential).text(owner).kind(kind).u64(id); }
std::string CredentialKey::prefix() { return KeyWriter(kCredential); }
std::string CredentialKey::prefix(std::string_view owner) { return KeyWriter(kCredential).text(owner); }
std::string CredentialKey::prefix(std::string_view owner, CredentialKind kind) { return KeyWriter(kCredential).text(owner).kind(kind); }
Result<CredentialKey> CredentialKey::decode(std::string_view key) {
  KeyReader in(key, kCredential);
  CredentialKey out;
  out.owner = in.text();
  out.kind = in.kind(CredentialKind::refresh_token);
  out.id = in.u64();
  return in.end(std::move(out));
}

std::string SecretKey::encode() const { return KeyWriter(kSecret).last(text_of(hash)); }
std::string SecretKey::prefix() { return KeyWriter(kSecret); }
Result<SecretKey> SecretKey::decode(std::string_view key) {
  KeyReader in(key, kSecret);
  SecretKey out;
  out.hash = take_hash(in);
  return in.end(std::move(out));
}

std::string SecretOfKey::encode() const { return KeyWriter(kSecretOf).u64(credential); }
std::string SecretOfKey::prefix() { return KeyWriter(kSecretOf); }
Result<SecretOfKey> SecretOfKey::decode(std::string_view key) {
  KeyReader in(key, kSecretOf);
  SecretOfKey out;
  out.credential = in.u64();
  return in.end(std::move(out));
}

std::string RoleKey::encode() const { return KeyWriter(kRole).last(name); }
std::string RoleKey::prefix() { return KeyWriter(kRole); }
Result<RoleKey> RoleKey::decode(std::string_view key) {
  KeyReader in(key, kRole);
  RoleKey out;
  out.name = in.last();
  return in.end(std::move(out));
}

std::string GrantKey::encode() const { return KeyWriter(kGrant).u64(grant); }
std::string GrantKey::prefix() { return KeyWriter(kGrant); }
Result<GrantKey> GrantKey::decode(std::string_view key) {
  KeyReader in(key, kGrant);
  GrantKey out;
  out.grant = in.u64();
  return in.end(std::move(out));
}

std::string GrantOfKey::encode() const { return KeyWriter(kGrantOf).text(subject).u64(grant); }
std::string GrantOfKey::prefix() { return KeyWriter(kGrantOf); }
std::string GrantOfKey::prefix(std::string_view subject) { return KeyWriter(kGrantOf).text(subject); }
Result<GrantOfKey> GrantOfKey::decode(std::string_view key) {
  KeyReader in(key, kGrantOf);
  GrantOfKey out;
  out.subject = in.text();
  out.grant = in.u64();
  return in.end(std::move(out));
}

std::string RoleUseKey::encode() const { return KeyWriter(kRoleUse).text(role).u64(grant); }
std::string RoleUseKey::prefix() { return KeyWriter(kRoleUse); }
std::string RoleUseKey::prefix(std::string_view role) { return KeyWriter(kRoleUse).text(role); }
Result<RoleUseKey> RoleUseKey::decode(std::string_view key) {
  KeyReader in(key, kRoleUse);
  RoleUseKey out;
  out.role = in.text();
  out.grant = in.u64();
  return in.end(std::move(out));
}

std::string SigningKeyKey::encode() const { return KeyWriter(kSigningKey).last(id); }
std::string SigningKeyKey::prefix() { return KeyWriter(kSigningKey); }
Result<SigningKeyKey> SigningKeyKey::decode(std::string_view key) {
  KeyReader in(key, kSigningKey);
  SigningKeyKey out;
  out.id = in.last();
  return in.end(std::move(out));
}

std::string SigningSecretKey::encode() const { return KeyWriter(kSigningSecret).last(id); }
std::string SigningSecretKey::prefix() { return KeyWriter(kSigningSecret); }
Result<SigningSecretKey> SigningSecretKey::decode(std::string_view key) {
  KeyReader in(key, kSigningSecret);
  SigningSecretKey out;
  out.id = in.last();
  return in.end(std::move(out));
}

std::string SetupKey::encode() const { return KeyWriter(kSetup).last(text_of(hash)); }
std::string SetupKey::prefix() { return KeyWriter(kSetup); }
Result<SetupKey> SetupKey::decode(std::string_view key) {
  KeyReader in(key, kSetup);
  SetupKey out;
  out.hash = take_hash(in);
  return in.end(std::move(out));
}

std::string TotalsKey::encode() const { return KeyWriter(kTotals); }

std::string IdentityDueKey::encode() const { return KeyWriter(kIdentityDue).uptime(due).kind(kind).u64(id); }
std::string IdentityDueKey::prefix() { return KeyWriter(kIdentityDue); }
Result<IdentityDueKey> IdentityDueKey::decode(std::string_view key) {
  KeyReader in(key, kIdentityDue);
  IdentityDueKey out;
  out.due = in.uptime();
  out.kind = in.kind(IdentityDueKind::group);
  out.id = in.u64();
  return in.end(std::move(out));
}

}  // namespace berth::registry
