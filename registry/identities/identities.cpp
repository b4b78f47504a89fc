#include "registry/identities/identities.h"

#include "base/log.h"
#include "registry/commands/init_format.h"
#include "registry/identities/commands/actors.h"
#include "registry/identities/commands/credentials.h"
#include "registry/identities/commands/grants.h"
#include "registry/identities/commands/groups.h"
#include "registry/identities/commands/robots.h"
#include "registry/identities/commands/roles.h"
#include "registry/identities/commands/setup.h"
#include "registry/identities/commands/signing_keys.h"
#include "registry/identities/commands/users.h"
#include "registry/identities/queries.h"

namespace berth::registry {

namespace {

void lower_case_all(std::vector<std::string>& subjects) {
  for (std::string& subject : subjects) subject = lower_case_subject(subject);
}
void lower_case_names(std::vector<std::string>& names) {
  for (std::string& name : names) name = lower_case(name);
}
NewUser normalized(NewUser user) {
  user.name = lower_case(user.name);
  lower_case_names(user.groups);
  return user;
}
GrantContent normalized(GrantContent grant) {
  lower_case_all(grant.subjects);
  grant.role = lower_case(grant.role);
  return grant;
}

}  // namespace

/// The newest policy that was read. Shared with the jobs that read one, which may outlive the caller.
struct Identities::Policy {
  std::mutex building;  ///< one reads at a time; the others find what it read
  mutable std::mutex mutex;
  std::shared_ptr<const PolicySnapshot> newest;

  std::shared_ptr<const PolicySnapshot> get() const {
    const std::lock_guard lock(mutex);
    return newest;
  }
};

Identities::Identities(const IdentitiesParts& parts, std::shared_ptr<IdentitySignal> signal, IdentitiesOptions options,
                       Uptime uptime_persisted)
    : parts_(parts), signal_(std::move(signal)), options_(std::move(options)),
      uptime_(parts.clock, uptime_persisted), policy_(std::make_shared<Policy>()),
      configured_roles_(options_.configured_roles) {}

Identities::~Identities() { stop(); }

CommandContext Identities::context(const Actor& actor) const {
  return {
      .actor = actor.id, .request_id = actor.request_id, .now = parts_.clock.wall(), .uptime = uptime_.now()};
}

std::vector<std::string> Identities::configured_roles() const {
  const std::lock_guard lock(mutex_);
  return configured_roles_;
}

void Identities::set_configured_roles(std::vector<std::string> names) {
  const std::lock_guard lock(mutex_);
  configured_roles_ = std::move(names);
}

template <class Command>
Task<typename Command::Outcome> Identities::submit(Command command) {
  return parts_.committer.submit(std::move(command));
}

template <class Command>
Task<void> Identities::change(Command command) {
  BERTH_CO_CHECK(co_await parts_.committer.submit(std::move(command)));
  co_return Result<void>{};
}

template <class Query>
asio::awaitable<std::invoke_result_t<Query&, const kv::Reader&>> Identities::read(Query query) {
  auto view = parts_.committer.view();
  auto answer = query(view->reader(kv::Tier::cache_only));
  if (!answer.failed_with(ErrorCode::would_block)) co_return answer;
  auto job = [view = std::move(view), query = std::move(query)] { return query(view->reader(kv::Tier::any)); };
  co_return co_await offload(parts_.disk_pool, std::move(job));
}

// ---- for whoever keeps answers ----

std::uint64_t Identities::version() const {
  const ChangeMark::Marks marks = signal_->any.load();
  return marks.seen(parts_.committer.view()->version());
}

Task<std::shared_ptr<const PolicySnapshot>> Identities::snapshot() {
  using Answer = Result<std::shared_ptr<const PolicySnapshot>>;
  const ChangeMark::Marks marks = signal_->policy.load();
  auto view = parts_.committer.view();
  const std::uint64_t wanted = marks.seen(view->version());
  auto newest = policy_->get();
  if (newest && newest->version >= wanted) co_return newest;
  auto job = [policy = policy_, view = std::move(view), wanted]() -> Answer {
    const std::lock_guard building(policy->building);
    if (auto meanwhile = policy->get(); meanwhile && meanwhile->version >= wanted) return meanwhile;
    BERTH_TRY(PolicySnapshot read, read_policy(view->reader(kv::Tier::any)));
    read.version = wanted;
    auto made = std::make_shared<const PolicySnapshot>(std::move(read));
    const std::lock_guard lock(policy->mutex);
    policy->newest = made;
    return std::shared_ptr<const PolicySnapshot>(std::move(made));
  };
  co_return co_await offload(parts_.disk_pool, std::move(job));
}

// ---- users ----

Task<User> Identities::create_user(const Actor& actor, NewUser user) {
  return submit(CreateUser{.context = context(actor), .user = normalized(std::move(user))});
}

Task<User> Identities::update_user(const Actor& actor, std::string name, UserChange change, IfVersion if_version) {
  if (change.groups) lower_case_names(*change.groups);
  return submit(UpdateUser{
      .context = context(actor), .name = lower_case(name), .change = std::move(change), .if_version = if_version});
}

Task<void> Identities::replace_hash(const Actor& actor, std::string name, std::string old_hash, std::string new_hash) {
  return change(ReplaceHash{.context = context(actor),
                            .name = lower_case(name),
                            .old_hash = std::move(old_hash),
                            .new_hash = std::move(new_hash)});
}

Task<void> Identities::delete_user(const Actor& actor, std::string name, Erasure erasure, IfVersion if_version) {
  return change(DeleteUser{
      .context = context(actor), .name = lower_case(name), .erasure = erasure, .if_version = if_version});
}

Task<std::optional<User>> Identities::find_user(std::string name) {
  auto query = [name = lower_case(name)](const kv::Reader& reader) { return registry::find_user(reader, name); };
  return read(std::move(query));
}

Task<std::optional<LoginUser>> Identities::find_login(std::string name) {
  auto query = [name = lower_case(name)](const kv::Reader& reader) { return registry::find_login(reader, name); };
  return read(std::move(query));
}

Task<IdentityPage<User>> Identities::list_users(std::size_t n, std::string last) {
  auto query = [n, last = std::move(last)](const kv::Reader& reader) { return registry::list_users(reader, n, last); };
  return read(std::move(query));
}

// ---- groups ----

Task<Group> Identities::create_group(const Actor& actor, NewGroup group) {
  group.name = lower_case(group.name);
  lower_case_all(group.members);
  return submit(CreateGroup{.context = context(actor), .group = std::move(group)});
}

Task<Group> Identities::update_group(const Actor& actor, std::string name, GroupChange change, IfVersion if_version) {
  if (change.members) lower_case_all(*change.members);
  return submit(UpdateGroup{
      .context = context(actor), .name = lower_case(name), .change = std::move(change), .if_version = if_version});
}

Task<void> Identities::delete_group(const Actor& actor, std::string name, IfVersion if_version) {
  return change(DeleteGroup{.context = context(actor), .name = lower_case(name), .if_version = if_version});
}

Task<std::optional<Group>> Identities::find_group(std::string name) {
  auto query = [name = lower_case(name)](const kv::Reader& reader) { return registry::find_group(reader, name); };
  return read(std::move(query));
}

Task<IdentityPage<Group>> Identities::list_groups(std::size_t n, std::string last) {
  auto query = [n, last = std::move(last)](const kv::Reader& reader) { return registry::list_groups(reader, n, last); };
  return read(std::move(query));
}

Task<std::optional<IdentityPage<std::string>>> Identities::list_group_users(std::string group, std::size_t n,
                                                                            std::string last) {
  auto query = [group = lower_case(group), n, last = std::move(last)](const kv::Reader& reader) {
    return registry::list_group_users(reader, group, n, last);
  };
  return read(std::move(query));
}

Task<std::vector<std::string>> Identities::groups_listing(std::string subject) {
  auto query = [subject = lower_case_subject(subject)](const kv::Reader& reader) {
    return registry::groups_listing(reader, subject);
  };
  return read(std::move(query));
}

// ---- robots ----

Task<Robot> Identities::create_robot(const Actor& actor, NewRobot robot) {
  robot.name = lower_case(robot.name);
  return submit(CreateRobot{.context = context(actor),
                            .robot = std::move(robot),
                            .expired_keep = options_.expired_keep});
}

Task<Robot> Identities::update_robot(const Actor& actor, std::string name, RobotChange change, IfVersion if_version) {
  return submit(UpdateRobot{.context = context(actor),
                            .name = lower_case(name),
                            .change = std::move(change),
                            .if_version = if_version});
}

Task<void> Identities::delete_robot(const Actor& actor, std::string name, IfVersion if_version) {
  return change(DeleteRobot{.context = context(actor), .name = lower_case(name), .if_version = if_version});
}

Task<std::optional<Robot>> Identities::find_robot(std::string name) {
  auto query = [name = lower_case(name)](const kv::Reader& reader) { return registry::find_robot(reader, name); };
  return read(std::move(query));
}

Task<IdentityPage<Robot>> Identities::list_robots(std::size_t n, std::string last) {
  auto query = [n, last = std::move(last)](const kv::Reader& reader) { return registry::list_robots(reader, n, last); };
  return read(std::move(query));
}

Task<Credential> Identities::add_robot_secret(const Actor& actor, std::string robot, NewCredential secret) {
  return add_credential(actor, CredentialKind::robot_secret, robot_subject(robot), OwnerOrigin::local,
                        std::move(secret));
}

// ---- credentials ----

Task<Credential> Identities::add_credential(const Actor& actor, CredentialKind kind, std::string owner,
                                            OwnerOrigin origin, NewCredential credential) {
  return submit(AddCredential{.context = context(actor),
                              .kind = kind,
                              .owner = lower_case_subject(owner),
                              .origin = origin,
                              .credential = std::move(credential),
                              .expired_keep = options_.expired_keep});
}

Task<Credential> Identities::create_token(const Actor& actor, std::string owner, OwnerOrigin origin,
                                          NewCredential token) {
  return add_credential(actor, CredentialKind::personal_token, std::move(owner), origin, std::move(token));
}

Task<Credential> Identities::issue_refresh_token(const Actor& actor, std::string owner, OwnerOrigin origin,
                                                 NewCredential token) {
  return add_credential(actor, CredentialKind::refresh_token, std::move(owner), origin, std::move(token));
}

Task<void> Identities::revoke(const Actor& actor, CredentialKind kind, std::string owner, IdentityNumber id) {
  return change(
      RevokeCredentials{.context = context(actor), .kind = kind, .owner = lower_case_subject(owner), .id = id});
}

Task<std::size_t> Identities::revoke_all(const Actor& actor, CredentialKind kind, std::string owner) {
  RevokeCredentials command{.context = context(actor), .kind = kind, .owner = lower_case_subject(owner)};
  BERTH_CO_TRY(const auto outcome, co_await parts_.committer.submit(std::move(command)));
  co_return outcome.revoked;
}

Task<std::optional<Credential>> Identities::find_credential(SecretHash hash) {
  auto query = [hash](const kv::Reader& reader) { return registry::find_credential(reader, hash); };
  return read(std::move(query));
}

Task<IdentityPage<Credential>> Identities::list_credentials(CredentialKind kind, std::string owner, std::size_t n,
                                                            IdentityNumber last) {
  auto query = [kind, owner = lower_case_subject(owner), n, last](const kv::Reader& reader) {
    return registry::list_credentials(reader, owner, kind, n, last);
  };
  return read(std::move(query));
}

// ---- roles ----

Task<Role> Identities::create_role(const Actor& actor, NewRole role) {
  role.name = lower_case(role.name);
  return submit(
      CreateRole{.context = context(actor), .role = std::move(role), .configured_roles = configured_roles()});
}

Task<Role> Identities::update_role(const Actor& actor, std::string name, RoleChange change, IfVersion if_version) {
  return submit(UpdateRole{
      .context = context(actor), .name = lower_case(name), .change = std::move(change), .if_version = if_version});
}

Task<void> Identities::delete_role(const Actor& actor, std::string name, IfVersion if_version) {
  return change(DeleteRole{.context = context(actor), .name = lower_case(name), .if_version = if_version});
}

Task<std::optional<Role>> Identities::find_role(std::string name) {
  auto query = [name = lower_case(name)](const kv::Reader& reader) { return registry::find_role(reader, name); };
  return read(std::move(query));
}

Task<IdentityPage<Role>> Identities::list_roles(std::size_t n, std::string last) {
  auto query = [n, last = std::move(last)](const kv::Reader& reader) { return registry::list_roles(reader, n, last); };
  return read(std::move(query));
}

// ---- grants ----

Task<StoredGrant> Identities::create_grant(const Actor& actor, GrantContent grant) {
  return submit(CreateGrant{.context = context(actor),
                            .grant = normalized(std::move(grant)),
                            .configured_roles = configured_roles()});
}

Task<StoredGrant> Identities::update_grant(const Actor& actor, IdentityNumber id, GrantContent grant,
                                           IfVersion if_version) {
  return submit(UpdateGrant{.context = context(actor),
                            .id = id,
                            .grant = normalized(std::move(grant)),
                            .if_version = if_version,
                            .configured_roles = configured_roles()});
}

Task<void> Identities::delete_grant(const Actor& actor, IdentityNumber id, IfVersion if_version) {
  return change(DeleteGrant{.context = context(actor), .id = id, .if_version = if_version});
}

Task<std::optional<StoredGrant>> Identities::find_grant(IdentityNumber id) {
  auto query = [id](const kv::Reader& reader) { return registry::find_grant(reader, id); };
  return read(std::move(query));
}

Task<IdentityPage<StoredGrant>> Identities::list_grants(std::size_t n, IdentityNumber last) {
  auto query = [n, last](const kv::Reader& reader) { return registry::list_grants(reader, n, last); };
  return read(std::move(query));
}

Task<std::vector<StoredGrant>> Identities::list_grants_of(std::string subject) {
  auto query = [subject = lower_case_subject(subject)](const kv::Reader& reader) {
    return registry::list_grants_of(reader, subject);
  };
  return read(std::move(query));
}

// ---- keys that tokens are signed with ----

Task<SigningKeyState> Identities::add_token_key(const Actor& actor, NewTokenKey key) {
  AddSigningKey command{.context = context(actor), .key = std::move(key)};
  BERTH_CO_TRY(const auto outcome, co_await parts_.committer.submit(std::move(command)));
  co_return outcome.state;
}

Task<void> Identities::activate_token_key(const Actor& actor, std::string id) {
  return change(ActivateSigningKey{.context = context(actor), .id = std::move(id)});
}

Task<void> Identities::remove_token_key(const Actor& actor, std::string id) {
  return change(RemoveSigningKey{.context = context(actor), .id = std::move(id)});
}

Task<std::vector<TokenKey>> Identities::list_token_keys() {
  return read([](const kv::Reader& reader) { return registry::list_token_keys(reader); });
}

// ---- actors ----

Task<ActorId> Identities::actor_of(const Actor& actor, std::string subject) {
  const std::string wanted = lower_case_subject(subject);
  NameActor command{.context = context(actor), .subject = wanted};
  auto query = [wanted](const kv::Reader& reader) { return registry::actor_of(reader, wanted); };
  BERTH_CO_TRY(const auto known, co_await read(std::move(query)));
  if (known) co_return *known;
  BERTH_CO_TRY(const auto outcome, co_await parts_.committer.submit(std::move(command)));
  co_return outcome.actor;
}

Task<std::optional<ActorName>> Identities::find_actor(ActorId id) {
  auto query = [id](const kv::Reader& reader) { return registry::find_actor(reader, id); };
  return read(std::move(query));
}

Task<void> Identities::erase_actor(const Actor& actor, ActorId id) {
  return change(EraseActor{.context = context(actor), .actor = id});
}

// ---- first start ----

Task<User> Identities::use_setup_secret(const Actor& actor, SecretHash hash, NewUser user) {
  return submit(UseSetupSecret{.context = context(actor), .hash = hash, .user = normalized(std::move(user))});
}

Task<TotalsRecord> Identities::totals() {
  return read([](const kv::Reader& reader) { return registry::totals(reader); });
}

// ---- life ----

Result<std::unique_ptr<Identities>> open_identities(IdentitiesParts parts, std::shared_ptr<IdentitySignal> signal,
                                                    IdentitiesOptions options) {
  InitFormat init;
  init.context = CommandContext{.now = parts.clock.wall(), .uptime = Uptime{1}};
  BERTH_TRY(const auto format, parts.committer.run(std::move(init)));
  auto identities = std::make_unique<Identities>(parts, std::move(signal), std::move(options), format.uptime);
  identities->start();
  return identities;
}

}  // namespace berth::registry
