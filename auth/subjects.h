// What berth itself knows of a subject now: whether it may come in, its groups, its number in histories.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/principal.h"
#include "base/env.h"
#include "base/task.h"

namespace berth::registry {
class Identities;
}

namespace berth::auth {

struct KnownSubject {
  bool local = false;    ///< a user or robot of berth's own; else the rest is only groups and actor
  bool enabled = false;  ///< of a local one, and of a credential that is there
  WallTime expires_at{};  ///< of a robot; 0: never
  WallTime created_at{};
  registry::ActorId actor = registry::kAnonymousActor;
  std::vector<std::string> groups = {};    ///< subjects: `group:dev`
  std::string password_hash = {};          ///< of a user; empty: none
  std::optional<Ceiling> ceiling = {};     ///< of a robot or a credential
};

/// Looks up and keeps what it found while the identities stand still. Thread-safe. Errors of the Tasks: those of the
/// identities.
class Subjects {
 public:
  using Known = std::shared_ptr<const KnownSubject>;

  /// It outlives this.
  explicit Subjects(registry::Identities& identities) : identities_(identities) {}

  /// A local user, by a name that somebody typed; null: there is none. What is not there is not kept.
  Task<Known> find_user(std::string name);
  /// A subject whose credential was good; never null. One from outside gets its number when it comes the first time.
  Task<Known> admitted(std::string subject);
  /// The same without giving a number.
  Task<Known> look_at(std::string subject);
  /// A credential as it is now, with its expiry and ceiling; null when it is gone. `id` is Testimony::credential.
  Task<Known> find_credential(std::string owner, std::string id);

 private:
  struct Kept {
    std::string key;
    std::uint64_t version = 0;  ///< of the identities, before the look-up
    Known known;                ///< never null; of a credential it says when that expires
  };
  /// Each with its own lock; a thread keeps to one.
  struct alignas(64) Place {
    std::mutex mutex;
    std::list<Kept> kept;  ///< most recently used first
    std::unordered_map<std::string_view, std::list<Kept>::iterator> by_key;
  };
  static constexpr std::size_t kKeptMax = 512;  ///< in each place

  std::optional<Known> find(const std::string& key, std::uint64_t version);
  std::optional<Known> find_kept(const std::string& key, std::uint64_t version);
  void keep(std::string key, std::uint64_t version, Known known);
  Task<Known> look_up(std::string subject, bool give_number);

  registry::Identities& identities_;
  std::array<Place, 16> places_;
};

/// Testimony::credential of a robot secret or personal token, and back.
std::string credential_text(bool robot, std::uint64_t id);

}  // namespace berth::auth
