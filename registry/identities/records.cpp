#include "registry/identities/records.h"

#include "registry/fields.h"

namespace berth::registry {

namespace fields {

template <>
inline constexpr std::uint64_t kLast<ActorKind> = 4;
template <>
inline constexpr std::uint64_t kLast<CredentialKind> = 3;
template <>
inline constexpr std::uint64_t kLast<SigningKeyState> = 3;

}  // namespace fields

namespace {

const auto list_entry = [](auto& r, auto& f) {
  f(1, r.repositories);
  f(2, r.actions);
};

void ceiling(fields::FieldWriter& f, std::uint64_t number, const Ceiling& value) {
  if (value) f.parts(number, *value, list_entry);
}
void ceiling(fields::FieldReader& f, std::uint64_t number, Ceiling& value) {
  std::vector<CeilingEntry> entries;
  f.parts(number, entries, list_entry);
  if (!entries.empty()) value = std::move(entries);
}

// One list of fields for each record: numbers are on disk, never change or reuse one, and new ones go at the end with a
// number above all others. It both writes and reads: `r` is const when it writes.

template <class Record>
struct ListOf;

template <>
struct ListOf<ActorRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.kind);
    f(2, r.subject);
    f(3, r.created_at);
  }
};

template <>
struct ListOf<ActorBinding> {
  void operator()(auto& r, auto& f) const {
    f(1, r.actor);
  }
};

template <>
struct ListOf<UserRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.actor);
    f(2, r.version);
    f(3, r.enabled);
    f(4, r.display_name);
    f(5, r.email);
    f(6, r.groups);
    f(7, r.created_at);
    f(8, r.password_changed_at);
    f(9, r.last_login_at);
  }
};

template <>
struct ListOf<PasswordRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.hash);
  }
};

template <>
struct ListOf<GroupRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.id);
    f(2, r.version);
    f(3, r.description);
    f(4, r.members);
    f(5, r.created_at);
  }
};

template <>
struct ListOf<GroupNameRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.name);
  }
};

template <>
struct ListOf<RobotRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.actor);
    f(2, r.version);
    f(3, r.enabled);
    f(4, r.description);
    ceiling(f, 5, r.ceiling);
    f(6, r.created_at);
    f(7, r.expires_at);
    f(8, r.last_used_at);
  }
};

template <>
struct ListOf<CredentialRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.name);
    f(2, r.service);
    f(3, r.client_id);
    ceiling(f, 4, r.ceiling);
    f(5, r.created_at);
    f(6, r.created_by);
    f(7, r.expires_at);
    f(8, r.last_used_at);
  }
};

template <>
struct ListOf<SecretRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.kind);
    f(2, r.owner);
    f(3, r.id);
    f(4, r.name);
    f(5, r.service);
    f(6, r.client_id);
    ceiling(f, 7, r.ceiling);
    f(8, r.created_at);
    f(9, r.expires_at);
    f(10, r.due);
  }
};

template <>
struct ListOf<SecretOfRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.hash);
  }
};

template <>
struct ListOf<RoleRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.version);
    f(2, r.actions);
    f(3, r.description);
    f(4, r.created_at);
  }
};

template <>
struct ListOf<GrantRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.version);
    f(2, r.subjects);
    f(3, r.repositories);
    f(4, r.actions);
    f(5, r.role);
    f(6, r.tags);
    f(7, r.description);
    f(8, r.created_at);
    f(9, r.created_by);
  }
};

template <>
struct ListOf<SigningKeyRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.version);
    f(2, r.state);
    f(3, r.algorithm);
    f(4, r.created_at);
    f(5, r.activated_at);
    f(6, r.retired_at);
  }
};

template <>
struct ListOf<SigningSecretRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.pkcs8);
  }
};

template <>
struct ListOf<SetupRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.used_at);
    f(2, r.user);
  }
};

template <>
struct ListOf<TotalsRecord> {
  void operator()(auto& r, auto& f) const {
    f(1, r.users);
    f(2, r.groups);
    f(3, r.robots);
    f(4, r.roles);
    f(5, r.grants);
  }
};

}  // namespace

#define BERTH_RECORD(Record)                                        \
  template <>                                                       \
  std::string encode(const Record& record) {                        \
    return fields::encode_record(record, ListOf<Record>{});         \
  }                                                                 \
  template <>                                                       \
  Result<Record> decode(std::string_view bytes) {                   \
    return fields::decode_record<Record>(bytes, ListOf<Record>{});  \
  }
BERTH_RECORD(ActorRecord)
BERTH_RECORD(ActorBinding)
BERTH_RECORD(UserRecord)
BERTH_RECORD(PasswordRecord)
BERTH_RECORD(GroupRecord)
BERTH_RECORD(GroupNameRecord)
BERTH_RECORD(RobotRecord)
BERTH_RECORD(CredentialRecord)
BERTH_RECORD(SecretRecord)
BERTH_RECORD(SecretOfRecord)
BERTH_RECORD(RoleRecord)
BERTH_RECORD(GrantRecord)
BERTH_RECORD(SigningKeyRecord)
BERTH_RECORD(SigningSecretRecord)
BERTH_RECORD(SetupRecord)
BERTH_RECORD(TotalsRecord)
#undef BERTH_RECORD

}  // namespace berth::registry
