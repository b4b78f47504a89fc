// The front door of who may come in: users, groups, robots, tokens, roles, grants, the keys that tokens are signed
// with, and the numbers that histories know people by. Knows no cryptography: whatever is secret comes in as a hash.
//
// Changes are commands through the committer: when a Task here answers, the change is durable and visible to everybody.
// Look-ups run in place when memory can answer and on the disk pool otherwise; what is not there is an empty optional.
// Names of users, robots, groups and roles are kept in lower case and may be given in any.
//
// Errors of changes: request_invalid (what it would be is not allowed, or would be too many), kIdentityUnknown,
// kIdentityConflict (rules.h). Every Task may also answer io_error, corrupt, unavailable, storage_full. No error and no
// line of the log ever holds a secret or its hash. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/env.h"
#include "base/task.h"
#include "registry/actor.h"
#include "registry/identities/rules.h"
#include "registry/identities/signal.h"
#include "registry/identities/use_counter.h"
#include "registry/identities/values.h"
#include "registry/index.h"
#include "registry/pause.h"
#include "registry/uptime_clock.h"
#include "storage/kv/committer.h"

namespace berth::registry {

struct IdentitiesOptions {
  /// How long an expired secret or token stays listed.
  std::chrono::milliseconds expired_keep = std::chrono::hours(24 * 7);
  std::chrono::milliseconds fold_interval = std::chrono::seconds(5);
  std::chrono::milliseconds sweep_interval = std::chrono::seconds(60);
  std::vector<std::string> configured_roles = {};  ///< names of roles that the configuration defines
  std::shared_ptr<const Pause> pause = nullptr;    ///< while it is on, nothing is folded in or swept. Null: never
};

/// What identities stand on; all outlive them.
struct IdentitiesParts {
  kv::Committer& committer;
  Pool& disk_pool;
  const Clock& clock;
};

class Identities {
 public:
  /// See open_identities().
  Identities(const IdentitiesParts& parts, std::shared_ptr<IdentitySignal> signal, IdentitiesOptions options,
             Uptime uptime_persisted);
  /// Stops. No Task of it is left.
  ~Identities();
  Identities(const Identities&) = delete;
  Identities& operator=(const Identities&) = delete;

  // ---- for whoever keeps answers ----
  /// Moves with every change of an identity, before the change is acknowledged. Taken before a look-up, it says how old
  /// the answer is at most. Not for `last used`, nor for an actor that gets its number: they change no decision.
  std::uint64_t version() const;
  /// All stored roles and grants and the names of groups; made anew only when one of them changed. Const.
  Task<std::shared_ptr<const PolicySnapshot>> snapshot();
  /// After the configuration was read again.
  void set_configured_roles(std::vector<std::string> names);

  // ---- users ----
  Task<User> create_user(const Actor& actor, NewUser user);
  /// Another password takes the refresh tokens along.
  Task<User> update_user(const Actor& actor, std::string name, UserChange change, IfVersion if_version = {});
  /// The same password, hashed anew: whoever was let in stays in. Nothing happens when `old_hash` is not the one.
  Task<void> replace_hash(const Actor& actor, std::string name, std::string old_hash, std::string new_hash);
  /// Tokens, memberships and mentions in grants go along; a grant that named nobody else goes.
  Task<void> delete_user(const Actor& actor, std::string name, Erasure erasure, IfVersion if_version = {});
  Task<std::optional<User>> find_user(std::string name);
  /// With the hash of the password, and with the groups that list the user as one from outside.
  Task<std::optional<LoginUser>> find_login(std::string name);
  Task<IdentityPage<User>> list_users(std::size_t n, std::string last);

  // ---- groups ----
  Task<Group> create_group(const Actor& actor, NewGroup group);
  Task<Group> update_group(const Actor& actor, std::string name, GroupChange change, IfVersion if_version = {});
  /// Nobody is its member from then on, and no grant names it.
  Task<void> delete_group(const Actor& actor, std::string name, IfVersion if_version = {});
  Task<std::optional<Group>> find_group(std::string name);
  Task<IdentityPage<Group>> list_groups(std::size_t n, std::string last);
  /// Names of the local users in it. Empty optional: no such group.
  Task<std::optional<IdentityPage<std::string>>> list_group_users(std::string group, std::size_t n, std::string last);
  /// The groups that list a subject from outside; names, ascending.
  Task<std::vector<std::string>> groups_listing(std::string subject);

  // ---- robots ----
  Task<Robot> create_robot(const Actor& actor, NewRobot robot);
  Task<Robot> update_robot(const Actor& actor, std::string name, RobotChange change, IfVersion if_version = {});
  Task<void> delete_robot(const Actor& actor, std::string name, IfVersion if_version = {});
  Task<std::optional<Robot>> find_robot(std::string name);
  Task<IdentityPage<Robot>> list_robots(std::size_t n, std::string last);
  /// Two live ones at most, so that one can follow the other.
  Task<Credential> add_robot_secret(const Actor& actor, std::string robot, NewCredential secret);

  // ---- credentials: robot secrets, personal tokens, refresh tokens ----
  Task<Credential> create_token(const Actor& actor, std::string owner, OwnerOrigin origin, NewCredential token);
  /// The oldest of the owner's gives way when there are too many.
  Task<Credential> issue_refresh_token(const Actor& actor, std::string owner, OwnerOrigin origin, NewCredential token);
  Task<void> revoke(const Actor& actor, CredentialKind kind, std::string owner, IdentityNumber id);
  /// Answers how many there were.
  Task<std::size_t> revoke_all(const Actor& actor, CredentialKind kind, std::string owner);
  /// One get. Whether it expired, and whether its owner may come in, the caller looks.
  Task<std::optional<Credential>> find_credential(SecretHash hash);
  Task<IdentityPage<Credential>> list_credentials(CredentialKind kind, std::string owner, std::size_t n,
                                                  IdentityNumber last);

  // ---- roles ----
  Task<Role> create_role(const Actor& actor, NewRole role);
  Task<Role> update_role(const Actor& actor, std::string name, RoleChange change, IfVersion if_version = {});
  /// Refused while grants name it; the message says which.
  Task<void> delete_role(const Actor& actor, std::string name, IfVersion if_version = {});
  Task<std::optional<Role>> find_role(std::string name);
  /// Built-in ones among them.
  Task<IdentityPage<Role>> list_roles(std::size_t n, std::string last);

  // ---- grants ----
  Task<StoredGrant> create_grant(const Actor& actor, GrantContent grant);
  Task<StoredGrant> update_grant(const Actor& actor, IdentityNumber id, GrantContent grant, IfVersion if_version = {});
  Task<void> delete_grant(const Actor& actor, IdentityNumber id, IfVersion if_version = {});
  Task<std::optional<StoredGrant>> find_grant(IdentityNumber id);
  Task<IdentityPage<StoredGrant>> list_grants(std::size_t n, IdentityNumber last);
  /// Those that name the subject itself.
  Task<std::vector<StoredGrant>> list_grants_of(std::string subject);

  // ---- keys that tokens are signed with ----
  /// Active at once when no key is, else next.
  Task<SigningKeyState> add_token_key(const Actor& actor, NewTokenKey key);
  /// The one that was active is retired.
  Task<void> activate_token_key(const Actor& actor, std::string id);
  /// What it signed is no good from then on. Refused for the active one.
  Task<void> remove_token_key(const Actor& actor, std::string id);
  Task<std::vector<TokenKey>> list_token_keys();

  // ---- actors ----
  /// The number that histories know a subject by; given the first time.
  Task<ActorId> actor_of(const Actor& actor, std::string subject);
  Task<std::optional<ActorName>> find_actor(ActorId id);
  /// The number stays in histories, the name goes. Refused for a local user or robot: delete that.
  Task<void> erase_actor(const Actor& actor, ActorId id);

  // ---- first start ----
  /// Makes the first administrator. Errors: denied (the secret was used before).
  Task<User> use_setup_secret(const Actor& actor, SecretHash hash, NewUser user);
  /// How many there are of everything.
  Task<TotalsRecord> totals();

  // ---- who came in: kept in memory and folded in every few seconds ----
  void note_login(const std::string& user);
  void note_use(const Credential& credential);

  // ---- life ----
  void start();
  /// Ends the thread, folds in what was noted. Blocks. Idempotent.
  void stop();
  /// Folds and sweeps at once, on the caller's thread. Blocks.
  void run_now();

 private:
  struct Policy;
  CommandContext context(const Actor& actor) const;
  std::vector<std::string> configured_roles() const;
  template <class Command>
  Task<typename Command::Outcome> submit(Command command);
  template <class Command>
  Task<void> change(Command command);
  template <class Query>
  asio::awaitable<std::invoke_result_t<Query&, const kv::Reader&>> read(Query query);
  Task<Credential> add_credential(const Actor& actor, CredentialKind kind, std::string owner, OwnerOrigin origin,
                                  NewCredential credential);
  void loop();
  bool paused() const { return options_.pause != nullptr && options_.pause->on(); }
  void fold();
  void sweep();
  void sweep_one_by_one(const std::vector<IdentityDueKey>& entries);

  const IdentitiesParts parts_;
  const std::shared_ptr<IdentitySignal> signal_;
  const IdentitiesOptions options_;
  const UptimeClock uptime_;
  const std::shared_ptr<Policy> policy_;
  UseCounter uses_;

  mutable std::mutex mutex_;  ///< guards what follows
  std::condition_variable wake_;
  bool stopping_ = false;
  std::vector<std::string> configured_roles_;
  std::thread thread_;

  std::mutex pass_mutex_;            ///< one pass at a time; guards what follows
  std::set<IdentityDueKey> stuck_;  ///< entries whose work fails: skipped, so that the others do not wait for them
};

/// Checks or writes the data format version and starts folding and sweeping. `signal` is told by the committer, which
/// runs already. Blocks. Errors: corrupt, unavailable (a newer format), io_error.
Result<std::unique_ptr<Identities>> open_identities(IdentitiesParts parts, std::shared_ptr<IdentitySignal> signal,
                                                    IdentitiesOptions options);

}  // namespace berth::registry
