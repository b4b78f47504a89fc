#include "registry/identities/records.h"

#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "registry/identities/keys.h"

namespace berth::registry {
namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out.push_back("0123456789abcdef"[static_cast<unsigned char>(c) >> 4]);
    out.push_back("0123456789abcdef"[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

WallTime wall(std::int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }

SecretHash hash_of(std::uint8_t byte) {
  SecretHash hash;
  hash.fill(std::byte{byte});
  return hash;
}

/// A record's bytes, and the same record from them; see records_test.cpp.
template <class Record>
void golden(const char* name, const Record& record, const std::string& expected) {
  INFO(name);
  const std::string bytes = encode(record);
  CHECK(hex(bytes) == expected);
  auto back = decode<Record>(bytes);
  REQUIRE(back.has_value());
  CHECK(*back == record);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    auto part = decode<Record>(std::string_view(bytes).substr(0, size));
    if (!part) {
      CHECK(part.error().code == ErrorCode::corrupt);
    } else {
      CHECK(encode(*part) == bytes.substr(0, size));
    }
  }
  CHECK(decode<Record>(bytes + '\1').failed_with(ErrorCode::corrupt));
  std::string newer = bytes;
  newer[0] = 2;
  CHECK(decode<Record>(newer).failed_with(ErrorCode::corrupt));
  auto later = decode<Record>(bytes + std::string("\x7f\x02hi", 4));
  REQUIRE(later.has_value());
  CHECK(encode(*later) == bytes + std::string("\x7f\x02hi", 4));
}

const Ceiling kCeiling = std::vector<CeilingEntry>{{.repositories = {"a", "b/*"}, .actions = 3}};
const std::string kCeilingHex =
    "0c"
    "0b"
    "0106"
    "0161"
    "03622f2a"
    "020103";

TEST_CASE("every record of an identity has the bytes that docs/storage-format.md says") {
  golden("actor", ActorRecord{.kind = ActorKind::robot, .subject = "robot:a", .created_at = wall(1)},
         "01"
         "010102"
         "0207726f626f743a61"
         "030102");
  golden("actor, erased", ActorRecord{}, "01010101");
  golden("actor binding", ActorBinding{7}, "01010107");
  golden("user",
         UserRecord{.actor = 2,
                    .version = 3,
                    .enabled = true,
                    .display_name = "D",
                    .email = "e",
                    .groups = {4, 300},
                    .created_at = wall(5),
                    .password_changed_at = wall(6),
                    .last_login_at = wall(7)},
         "01"
         "010102"
         "020103"
         "030101"
         "040144"
         "050165"
         "060304ac02"
         "07010a"
         "08010c"
         "09010e");
  golden("password", PasswordRecord{.hash = "$x"}, "0101022478");
  golden("group",
         GroupRecord{.id = 1, .version = 2, .description = "d", .members = {"m", "no"}, .created_at = wall(3)},
         "01"
         "010101"
         "020102"
         "030164"
         "0405016d026e6f"
         "050106");
  golden("group name", GroupNameRecord{.name = "g"}, "01010167");
  golden("robot",
         RobotRecord{.actor = 1,
                     .version = 2,
                     .enabled = true,
                     .description = "d",
                     .ceiling = kCeiling,
                     .created_at = wall(3),
                     .expires_at = wall(4),
                     .last_used_at = wall(5)},
         "01"
         "010101"
         "020102"
         "030101"
         "040164"
         "05" + kCeilingHex +
             "060106"
             "070108"
             "08010a");
  golden("credential",
         CredentialRecord{.name = "n",
                          .service = "s",
                          .client_id = "c",
                          .ceiling = kCeiling,
                          .created_at = wall(1),
                          .created_by = 2,
                          .expires_at = wall(3),
                          .last_used_at = wall(4)},
         "01"
         "01016e"
         "020173"
         "030163"
         "04" + kCeilingHex +
             "050102"
             "060102"
             "070106"
             "080108");
  golden("secret",
         SecretRecord{.kind = CredentialKind::refresh_token,
                      .owner = "o",
                      .id = 1,
                      .name = "n",
                      .service = "s",
                      .client_id = "c",
                      .ceiling = kCeiling,
                      .created_at = wall(2),
                      .expires_at = wall(3),
                      .due = Uptime(4)},
         "01"
         "010103"
         "02016f"
         "030101"
         "04016e"
         "050173"
         "060163"
         "07" + kCeilingHex +
             "080104"
             "090106"
             "0a0104");
  golden("secret of", SecretOfRecord{.hash = "hh"}, "0101026868");
  golden("role", RoleRecord{.version = 1, .actions = 31, .description = "d", .created_at = wall(2)},
         "01"
         "010101"
         "02011f"
         "030164"
         "040104");
  golden("grant",
         GrantRecord{.version = 1,
                     .subjects = {"anonymous"},
                     .repositories = {"**"},
                     .actions = 1,
                     .role = "r",
                     .tags = {"v*"},
                     .description = "d",
                     .created_at = wall(2),
                     .created_by = 3},
         "01"
         "010101"
         "020a09616e6f6e796d6f7573"
         "0303022a2a"
         "040101"
         "050172"
         "060302762a"
         "070164"
         "080104"
         "090103");
  golden("signing key",
         SigningKeyRecord{.version = 1,
                          .state = SigningKeyState::retired,
                          .algorithm = "ES256",
                          .created_at = wall(1),
                          .activated_at = wall(2),
                          .retired_at = wall(3)},
         "01"
         "010101"
         "020103"
         "03054553323536"
         "040102"
         "050104"
         "060106");
  golden("signing secret", SigningSecretRecord{.pkcs8 = std::string("\0\1", 2)}, "0101020001");
  golden("set-up", SetupRecord{.used_at = wall(1), .user = "u"},
         "01"
         "010102"
         "020175");
  golden("totals", TotalsRecord{1, 2, 3, 4, 5},
         "01"
         "010101"
         "020102"
         "030103"
         "040104"
         "050105");
}

template <class Record>
void refused(const char* name, const std::string& bytes) {
  INFO(name);
  CHECK(decode<Record>(bytes).failed_with(ErrorCode::corrupt));
}

TEST_CASE("what encode would not have written of an identity is corrupt") {
  using namespace std::string_literals;
  refused<ActorRecord>("no kind", "\1"s);
  refused<ActorRecord>("an unknown kind", "\1\1\1\5"s);
  refused<SigningKeyRecord>("an unknown state", "\1\2\1\4"s);
  refused<UserRecord>("neither enabled nor not", "\1\3\1\2"s);
  refused<UserRecord>("an empty list that is written out", "\1\6\0"s);
  refused<UserRecord>("half a number in a list", "\1\6\1\x80"s);
  refused<GroupRecord>("a text in a list past its end", "\1\4\2\5m"s);
  refused<RobotRecord>("a ceiling without a line", "\1\1\1\1\2\1\2\5\0"s);
  refused<RobotRecord>("a line of a ceiling past its end", "\1\5\2\5\1"s);
  refused<RobotRecord>("a line of a ceiling whose fields are out of order", "\1\5\7\6\2\1\1\2\1\1"s);
}

TEST_CASE("a line of a ceiling keeps what a later minor version wrote into it") {
  RobotRecord record{.enabled = true, .ceiling = kCeiling};
  record.ceiling->front().unknown = std::string("\x7f\x02hi", 4);
  const auto back = decode<RobotRecord>(encode(record));
  REQUIRE(back.has_value());
  CHECK(*back == record);
}

TEST_CASE("keys of identities have the bytes that docs/storage-format.md says") {
  const std::string one(hex(std::string(7, '\0')) + "01");
  const std::string ones = hex(std::string(32, '\1'));
  const auto check = [](const char* name, const auto& key, const std::string& expected) {
    INFO(name);
    CHECK(hex(key.encode()) == expected);
  };
  check("actor", ActorKey{1}, "01" + one);
  check("actor of", ActorOfKey{"u:a"}, "02753a61");
  check("user", UserKey{"a"}, "0361");
  check("password", PasswordKey{"a"}, "0461");
  check("group", GroupKey{"a"}, "0561");
  check("group name", GroupNameKey{1}, "06" + one);
  check("group user", GroupUserKey{1, "a"}, "07" + one + "61");
  check("membership", MembershipKey{"a", 1}, "086100" + one);
  check("robot", RobotKey{"a"}, "0961");
  check("credential", CredentialKey{"a", CredentialKind::refresh_token, 1}, "0a610003" + one);
  check("secret", SecretKey{hash_of(1)}, "0b" + ones);
  check("secret of", SecretOfKey{1}, "0c" + one);
  check("role", RoleKey{"a"}, "0d61");
  check("grant", GrantKey{1}, "0e" + one);
  check("grant of", GrantOfKey{"a", 1}, "0f6100" + one);
  check("role use", RoleUseKey{"a", 1}, "106100" + one);
  check("signing key", SigningKeyKey{"a"}, "1161");
  check("signing secret", SigningSecretKey{"a"}, "1261");
  check("set-up", SetupKey{hash_of(1)}, "13" + ones);
  check("totals", TotalsKey{}, "14");
  check("due", IdentityDueKey{Uptime(1), IdentityDueKind::group, 1}, "03" + one + "02" + one);
}

struct Chance {
  std::mt19937_64 random{20261121};
  std::uint64_t below(std::uint64_t n) { return random() % n; }
  std::uint64_t number() {
    constexpr std::uint64_t kNumbers[] = {0, 1, 2, 255, 256, 65535, 1ull << 32, ~0ull - 1, ~0ull};
    return kNumbers[below(std::size(kNumbers))];
  }
  std::string text() {
    std::string out;
    for (std::uint64_t i = 1 + below(3); i > 0; --i) out.push_back("-./09@:_az"[below(10)]);
    return out;
  }
  SecretHash hash() {
    SecretHash hash;
    for (std::byte& byte : hash) byte = below(2) == 0 ? std::byte{0} : std::byte{0xfe};
    return hash;
  }
};

/// The order of the bytes is the order of the values, and the bytes lead back to the value.
template <class Key, class Make>
void ordered(const char* name, Make make) {
  INFO(name);
  Chance chance;
  std::vector<Key> keys;
  for (int i = 0; i < 200; ++i) keys.push_back(make(chance));
  for (const Key& a : keys) {
    auto back = Key::decode(a.encode());
    REQUIRE(back.has_value());
    REQUIRE(*back == a);
    REQUIRE(!Key::decode(a.encode().substr(1)).has_value());
    REQUIRE(!Key::decode("").has_value());
    REQUIRE(a.encode().starts_with(Key::prefix()));
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    for (std::size_t j = 0; j < keys.size(); j += 7) {
      if ((keys[i] < keys[j]) != (keys[i].encode() < keys[j].encode())) {
        FAIL(hex(keys[i].encode()) << " and " << hex(keys[j].encode()));
      }
    }
  }
}

TEST_CASE("the order of keys of identities is the order of their values") {
  ordered<ActorKey>("actor", [](Chance& c) { return ActorKey{c.number()}; });
  ordered<ActorOfKey>("actor of", [](Chance& c) { return ActorOfKey{c.text()}; });
  ordered<UserKey>("user", [](Chance& c) { return UserKey{c.text()}; });
  ordered<PasswordKey>("password", [](Chance& c) { return PasswordKey{c.text()}; });
  ordered<GroupKey>("group", [](Chance& c) { return GroupKey{c.text()}; });
  ordered<GroupNameKey>("group name", [](Chance& c) { return GroupNameKey{c.number()}; });
  ordered<GroupUserKey>("group user", [](Chance& c) { return GroupUserKey{c.number(), c.text()}; });
  ordered<MembershipKey>("membership", [](Chance& c) { return MembershipKey{c.text(), c.number()}; });
  ordered<RobotKey>("robot", [](Chance& c) { return RobotKey{c.text()}; });
  ordered<CredentialKey>("credential", [](Chance& c) {
    return CredentialKey{c.text(), static_cast<CredentialKind>(1 + c.below(3)), c.number()};
  });
  ordered<SecretKey>("secret", [](Chance& c) { return SecretKey{c.hash()}; });
  ordered<SecretOfKey>("secret of", [](Chance& c) { return SecretOfKey{c.number()}; });
  ordered<RoleKey>("role", [](Chance& c) { return RoleKey{c.text()}; });
  ordered<GrantKey>("grant", [](Chance& c) { return GrantKey{c.number()}; });
  ordered<GrantOfKey>("grant of", [](Chance& c) { return GrantOfKey{c.text(), c.number()}; });
  ordered<RoleUseKey>("role use", [](Chance& c) { return RoleUseKey{c.text(), c.number()}; });
  ordered<SigningKeyKey>("signing key", [](Chance& c) { return SigningKeyKey{c.text()}; });
  ordered<SigningSecretKey>("signing secret", [](Chance& c) { return SigningSecretKey{c.text()}; });
  ordered<SetupKey>("set-up", [](Chance& c) { return SetupKey{c.hash()}; });
  ordered<IdentityDueKey>("due", [](Chance& c) {
    return IdentityDueKey{Uptime(static_cast<std::int64_t>(c.number() >> 1)),
                          static_cast<IdentityDueKind>(1 + c.below(2)), c.number()};
  });
}

}  // namespace
}  // namespace berth::registry
