// Short ways to say what is done to identities, over the harness of the commands.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "registry/identities/check.h"
#include "registry/identities/commands/actors.h"
#include "registry/identities/commands/credentials.h"
#include "registry/identities/commands/fold_uses.h"
#include "registry/identities/commands/grants.h"
#include "registry/identities/commands/groups.h"
#include "registry/identities/commands/robots.h"
#include "registry/identities/commands/roles.h"
#include "registry/identities/commands/setup.h"
#include "registry/identities/commands/signing_keys.h"
#include "registry/identities/commands/sweep.h"
#include "registry/identities/commands/users.h"
#include "registry/identities/queries.h"
#include "tests/unit/registry/command_harness.h"

namespace berth::registry::testing {

/// Different for every number; its bytes are seen nowhere else.
inline SecretHash secret_hash(std::uint64_t number) {
  SecretHash hash;
  for (std::size_t i = 0; i < hash.size(); ++i) {
    hash[i] = static_cast<std::byte>(i < 8 ? (number >> (8 * i)) & 0xff : 0xc0 + i);
  }
  return hash;
}

inline GrantContent grant(std::vector<std::string> subjects, std::string role) {
  GrantContent content;
  content.subjects = std::move(subjects);
  content.repositories = {"team/**"};
  content.role = std::move(role);
  return content;
}

/// "ok" or the name of the code.
template <class T>
std::string code(const Result<T>& result) {
  return result ? "ok" : std::string(to_string(result.error().code));
}

using Dump = std::map<std::pair<kv::Family, std::string>, std::string>;
/// Every record there is.
inline Dump dump(const kv::Reader& reader) {
  Dump all;
  for (std::size_t f = 0; f < family::count; ++f) {
    const auto which = static_cast<kv::Family>(f);
    auto cursor = reader.scan(which, {}).value();
    for (; cursor->valid(); cursor->next()) all[{which, std::string(cursor->key())}] = cursor->value();
  }
  return all;
}

struct IdentityIndex : TestIndex {
  using TestIndex::TestIndex;

  User user(const std::string& name, std::vector<std::string> groups = {}) {
    auto made = run(CreateUser{.context = {}, .user = {.name = name, .password_hash = "$p$" + name, .groups = groups}});
    REQUIRE(code(made) == "ok");
    return *made;
  }
  Group group(const std::string& name, std::vector<std::string> members = {}) {
    auto made = run(CreateGroup{.context = {}, .group = {.name = name, .members = std::move(members)}});
    REQUIRE(code(made) == "ok");
    return *made;
  }
  Robot robot(const std::string& name, std::uint64_t secret) {
    NewRobot wanted{.name = name};
    wanted.secret = NewCredential{.hash = secret_hash(secret)};
    auto made = run(CreateRobot{.context = {}, .robot = wanted});
    REQUIRE(code(made) == "ok");
    return *made;
  }
  Result<Credential> credential(CredentialKind kind, const std::string& owner, std::uint64_t secret,
                                WallTime expires_at = {}, OwnerOrigin origin = OwnerOrigin::local) {
    return run(AddCredential{.context = {},
                             .kind = kind,
                             .owner = owner,
                             .origin = origin,
                             .credential = {.hash = secret_hash(secret), .name = "n", .expires_at = expires_at},
                             .expired_keep = keep});
  }
  StoredGrant give(std::vector<std::string> subjects, std::string role) {
    auto made = run(CreateGrant{.context = {}, .grant = grant(std::move(subjects), std::move(role))});
    REQUIRE(code(made) == "ok");
    return *made;
  }
  bool opens(std::uint64_t secret) { return find_credential(reader(), secret_hash(secret)).value().has_value(); }
  /// Works off what is due. Answers the number of commands.
  int sweep(std::size_t users_max = SweepIdentities::kUsersMax) {
    for (int commands = 0;; ++commands) {
      const auto entries = identity_due_entries(reader(), context.uptime, SweepIdentities::kEntriesMax).value();
      if (entries.empty()) return commands;
      SweepIdentities command{.context = {}, .entries = entries, .expired_keep = keep, .users_max = users_max};
      REQUIRE(code(run(std::move(command))) == "ok");
      REQUIRE(commands < 1000);
    }
  }
  std::chrono::milliseconds keep = std::chrono::hours(24);
};

}  // namespace berth::registry::testing
