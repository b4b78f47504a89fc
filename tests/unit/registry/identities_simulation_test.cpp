// Random histories of identities in batches, while time passes, with a crash at any batch, against a plain model.
//
// After every batch: every answer is the model's; what was acknowledged is there and nothing else; every rule of the
// index holds. At the end: a twin that was given the same commands one by one has the same bytes, the change log alone
// rebuilds all that is replicated, and when everybody is deleted nothing but histories is left.
//
// BERTH_SEED=<n> runs that one history.
#include <cstdlib>
#include <functional>
#include <random>
#include <set>

#include "tests/unit/registry/identities_harness.h"

namespace berth::registry::testing {
namespace {

/// A disk that fails one write: what was written is then there or not.
class CrashStore final : public kv::Store {
 public:
  enum class Fault { none, lost, written };
  Fault fault = Fault::none;

  Result<std::shared_ptr<const kv::View>> view() override { return inner_->view(); }
  Result<void> write(std::span<const kv::Write> writes) override {
    if (fault != Fault::lost) BERTH_CHECK(inner_->write(writes));
    if (fault != Fault::none) return make_error(ErrorCode::io_error, "a crash");
    return {};
  }
  Result<std::uint64_t> last_log_number(kv::Family log) override { return inner_->last_log_number(log); }
  const kv::Schema& schema() const override { return inner_->schema(); }
  Result<void> flush() override { return inner_->flush(); }

 private:
  std::unique_ptr<kv::Store> inner_ = kv::make_memory_store(registry::schema());
};

const std::string kOk = "ok";
const std::string kUnknown(to_string(kIdentityUnknown));
const std::string kConflict(to_string(kIdentityConflict));
const std::string kInvalid = "request_invalid";

/// Who there is, in the plainest way.
struct Model {
  struct Group {
    std::uint64_t id = 0;
    std::set<std::string> members;
    bool operator==(const Group&) const = default;
  };
  struct Person {
    std::uint64_t version = 0;
    std::set<std::string> groups;
  };
  struct Secret {
    std::string owner;
    CredentialKind kind{};
    std::uint64_t id = 0;
    WallTime expires_at{};
  };
  struct Given {
    std::vector<std::string> subjects;
    std::string role;
  };
  std::uint64_t number = kAnonymousActor;
  std::map<std::string, Person> users;
  std::map<std::string, Group> groups;
  std::set<std::string> robots;
  std::map<std::string, std::uint64_t> actors;
  std::map<std::uint64_t, Secret> secrets;  ///< by the number of their hash
  std::set<std::string> roles;
  std::map<std::uint64_t, Given> grants;
  std::map<std::string, SigningKeyState> keys;
  std::set<std::uint64_t> setups;

  void bind(const std::string& subject) { actors.try_emplace(subject, number); }
  void forget(const std::string& subject) {
    std::erase_if(secrets, [&](const auto& entry) { return entry.second.owner == subject; });
    for (auto& [name, group] : groups) group.members.erase(subject);
    forget_in_grants(subject);
    actors.erase(subject);
  }
  void forget_in_grants(const std::string& subject) {
    for (auto& [id, grant] : grants) std::erase(grant.subjects, subject);
    std::erase_if(grants, [](const auto& entry) { return entry.second.subjects.empty(); });
  }
  std::size_t count(const std::string& owner, CredentialKind kind) const {
    return static_cast<std::size_t>(std::ranges::count_if(secrets, [&](const auto& entry) {
      return entry.second.owner == owner && entry.second.kind == kind;
    }));
  }
};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : random_(seed) {
    context_.now = WallTime(std::chrono::milliseconds(1'700'000'000'000));
    context_.uptime = std::chrono::hours(1);
    reopen();
    REQUIRE(twin_core_.open().has_value());
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      context_.request_id = "r" + std::to_string(i);
      for (std::uint64_t n = 1 + below(6); n > 0; --n) act();
      commit();
      verify();
    }
    crashes_ = false;
    compare();
    delete_everybody();
  }

 private:
  using Expect = std::function<std::string(Model&)>;

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  const std::string& any(const std::vector<std::string>& of) { return of[below(of.size())]; }
  std::vector<std::string> some(const std::vector<std::string>& of) {
    std::vector<std::string> out;
    for (const std::string& one : of) {
      if (below(2) == 0) out.push_back(one);
    }
    return out;
  }

  // ---- what happens ----

  void act() {
    switch (below(18)) {
      case 0:
      case 1:
        return create_user(any(kUsers));
      case 2:
        return update_user(any(kUsers));
      case 3:
        return delete_user(any(kUsers));
      case 4:
      case 5:
        return create_group(any(kGroups));
      case 6:
        return below(2) == 0 ? update_group(any(kGroups)) : delete_group(any(kGroups));
      case 7:
        return create_robot(any(kRobots));
      case 8:
        return below(2) == 0 ? delete_robot(any(kRobots)) : name_actor();
      case 9:
      case 10:
        return add_secret();
      case 11:
        return revoke();
      case 12:
        return below(2) == 0 ? create_role(any(kRoles)) : delete_role(any(kRoles));
      case 13:
      case 14:
        return create_grant();
      case 15:
        return below(2) == 0 ? sign() : set_up();
      case 16:
        context_.now += kStep;
        context_.uptime += kStep;
        return;
      default:
        return sweep();
    }
  }

  void create_user(const std::string& name) {
    const std::vector<std::string> groups = some(kGroups);
    const CreateUser command{.context = context_, .user = {.name = name, .password_hash = "$x", .groups = groups}};
    add("create user " + name, command, [=](Model& m) { return make_user(m, name, groups); });
  }
  static std::string make_user(Model& m, const std::string& name, const std::vector<std::string>& groups) {
    if (m.users.contains(name)) return kConflict;
    for (const std::string& group : groups) {
      if (!m.groups.contains(group)) return kInvalid;
    }
    ++m.number;
    m.bind("user:" + name);
    m.users[name] = {m.number, {groups.begin(), groups.end()}};
    return kOk;
  }

  void update_user(const std::string& name) {
    const std::vector<std::string> groups = some(kGroups);
    UpdateUser command{.context = context_, .name = name, .change = {.groups = groups}};
    if (below(3) == 0) command.if_version = 1 + below(20);
    const bool password = below(3) == 0;
    if (password) command.change.password_hash = "$y";
    add("update user " + name, command, [=, wanted = command.if_version](Model& m) -> std::string {
      if (!m.users.contains(name)) return kUnknown;
      if (wanted && *wanted != m.users[name].version) return kConflict;
      for (const std::string& group : groups) {
        if (!m.groups.contains(group)) return kInvalid;
      }
      m.users[name] = {++m.number, {groups.begin(), groups.end()}};
      if (password) {
        std::erase_if(m.secrets, [&](const auto& entry) {
          return entry.second.owner == "user:" + name && entry.second.kind == CredentialKind::refresh_token;
        });
      }
      return kOk;
    });
  }

  void delete_user(const std::string& name) {
    const DeleteUser command{.context = context_, .name = name, .erasure = static_cast<Erasure>(below(2))};
    add("delete user " + name, command, [=](Model& m) -> std::string {
      if (m.users.erase(name) == 0) return kUnknown;
      ++m.number;
      m.forget("user:" + name);
      return kOk;
    });
  }

  void create_group(const std::string& name) {
    const std::vector<std::string> members = some(kOutside);
    const CreateGroup command{.context = context_, .group = {.name = name, .members = members}};
    add("create group " + name, command, [=](Model& m) -> std::string {
      if (m.groups.contains(name)) return kConflict;
      m.groups[name] = {++m.number, {members.begin(), members.end()}};
      return kOk;
    });
  }

  void update_group(const std::string& name) {
    const std::vector<std::string> members = some(kOutside);
    const UpdateGroup command{.context = context_, .name = name, .change = {.members = members}};
    add("update group " + name, command, [=](Model& m) -> std::string {
      if (!m.groups.contains(name)) return kUnknown;
      ++m.number;
      m.groups[name].members = {members.begin(), members.end()};
      return kOk;
    });
  }

  void delete_group(const std::string& name) {
    add("delete group " + name, DeleteGroup{.context = context_, .name = name}, [=](Model& m) -> std::string {
      if (m.groups.erase(name) == 0) return kUnknown;
      ++m.number;
      m.forget_in_grants("group:" + name);
      for (auto& [user, person] : m.users) person.groups.erase(name);
      return kOk;
    });
  }

  void create_robot(const std::string& name) {
    add("create robot " + name, CreateRobot{.context = context_, .robot = {.name = name}}, [=](Model& m) {
      if (!m.robots.insert(name).second) return kConflict;
      ++m.number;
      m.bind("robot:" + name);
      return kOk;
    });
  }

  void delete_robot(const std::string& name) {
    add("delete robot " + name, DeleteRobot{.context = context_, .name = name}, [=](Model& m) {
      if (m.robots.erase(name) == 0) return kUnknown;
      ++m.number;
      m.forget("robot:" + name);
      return kOk;
    });
  }

  void name_actor() {
    const std::string subject = any(kOutside);
    add("name " + subject, NameActor{.context = context_, .subject = subject}, [=](Model& m) {
      if (m.actors.contains(subject)) return kOk;
      ++m.number;
      m.bind(subject);
      return kOk;
    });
  }

  void add_secret() {
    const bool robot = below(3) == 0;
    const std::string owner = robot ? "robot:" + any(kRobots) : "user:" + any(kUsers);
    const CredentialKind kind = robot               ? CredentialKind::robot_secret
                                : below(2) == 0 ? CredentialKind::personal_token
                                                : CredentialKind::refresh_token;
    const std::uint64_t hash = below(40);
    WallTime expires_at{};
    if (below(2) == 0) expires_at = context_.now + kStep * static_cast<int>(1 + below(4));
    AddCredential command{.context = context_,
                          .kind = kind,
                          .owner = owner,
                          .credential = {.hash = secret_hash(hash), .name = "n", .expires_at = expires_at},
                          .expired_keep = kKeep};
    add("add secret " + std::to_string(hash) + " of " + owner, command,
        [=, now = context_.now](Model& m) -> std::string {
          if (robot ? !m.robots.contains(owner.substr(6)) : !m.users.contains(owner.substr(5))) return kUnknown;
          if (m.secrets.contains(hash)) return kConflict;
          if (robot && m.count(owner, kind) >= 2) {
            std::map<std::uint64_t, Model::Secret> left = m.secrets;
            std::erase_if(left, [&](const auto& entry) {
              const Model::Secret& secret = entry.second;
              return secret.owner == owner && secret.expires_at != WallTime{} && secret.expires_at <= now;
            });
            if (left.size() == m.secrets.size()) return kInvalid;
            m.secrets = std::move(left);
          }
          m.secrets[hash] = {owner, kind, ++m.number, expires_at};
          return kOk;
        });
  }

  void revoke() {
    const std::string owner = "user:" + any(kUsers);
    RevokeCredentials command{.context = context_, .kind = CredentialKind::personal_token, .owner = owner};
    if (below(2) == 0) command.id = 1 + below(40);
    add("revoke tokens of " + owner, command, [=, id = command.id](Model& m) {
      const auto hit = [&](const auto& entry) {
        const Model::Secret& secret = entry.second;
        return secret.owner == owner && secret.kind == CredentialKind::personal_token && (!id || secret.id == *id);
      };
      return std::erase_if(m.secrets, hit) == 0 && id ? kUnknown : kOk;
    });
  }

  void create_role(const std::string& name) {
    add("create role " + name, CreateRole{.context = context_, .role = {.name = name, .actions = 1}}, [=](Model& m) {
      if (!m.roles.insert(name).second) return kConflict;
      ++m.number;
      return kOk;
    });
  }

  void delete_role(const std::string& name) {
    add("delete role " + name, DeleteRole{.context = context_, .name = name}, [=](Model& m) {
      if (!m.roles.contains(name)) return kUnknown;
      for (const auto& [id, given] : m.grants) {
        if (given.role == name) return kConflict;
      }
      m.roles.erase(name);
      return kOk;
    });
  }

  void create_grant() {
    std::vector<std::string> subjects = some(kSubjects);
    if (subjects.empty()) subjects.push_back("anonymous");
    const std::string role = below(3) == 0 ? any(kRoles) : "reader";
    const std::uint64_t which = 1 + below(40);
    const GrantContent content = grant(subjects, role);
    switch (below(4)) {
      case 0:
        return add("delete grant", DeleteGrant{.context = context_, .id = which},
                   [=](Model& m) { return m.grants.erase(which) == 0 ? kUnknown : kOk; });
      case 1:
        return add("update grant", UpdateGrant{.context = context_, .id = which, .grant = content}, [=](Model& m) {
          if (!m.grants.contains(which)) return kUnknown;
          if (role != "reader" && !m.roles.contains(role)) return kInvalid;
          ++m.number;
          m.grants[which] = {subjects, role};
          return kOk;
        });
      default:
        return add("create grant", CreateGrant{.context = context_, .grant = content}, [=](Model& m) {
          if (role != "reader" && !m.roles.contains(role)) return kInvalid;
          m.grants[++m.number] = {subjects, role};
          return kOk;
        });
    }
  }

  void sign() {
    const std::string id = any(kKeys);
    switch (below(3)) {
      case 0:
        return add("activate key", ActivateSigningKey{.context = context_, .id = id}, [=](Model& m) {
          if (!m.keys.contains(id)) return kUnknown;
          if (m.keys[id] != SigningKeyState::next) return kConflict;
          ++m.number;
          for (auto& [other, state] : m.keys) {
            if (state == SigningKeyState::active) state = SigningKeyState::retired;
          }
          m.keys[id] = SigningKeyState::active;
          return kOk;
        });
      case 1:
        return add("remove key", RemoveSigningKey{.context = context_, .id = id}, [=](Model& m) {
          if (!m.keys.contains(id)) return kUnknown;
          if (m.keys[id] == SigningKeyState::active) return kConflict;
          m.keys.erase(id);
          return kOk;
        });
      default:
        return add("add key", AddSigningKey{.context = context_, .key = {id, "ES256", "bytes"}}, [=](Model& m) {
          if (m.keys.contains(id)) return kConflict;
          ++m.number;
          const bool any_active = std::ranges::any_of(
              m.keys, [](const auto& entry) { return entry.second == SigningKeyState::active; });
          m.keys[id] = any_active ? SigningKeyState::next : SigningKeyState::active;
          return kOk;
        });
    }
  }

  void set_up() {
    const std::uint64_t hash = below(3);
    const std::string name = any(kUsers);
    const UseSetupSecret command{.context = context_, .hash = secret_hash(hash), .user = {.name = name}};
    add("set up " + name, command, [=](Model& m) -> std::string {
      if (m.setups.contains(hash)) return "denied";
      const std::string made = make_user(m, name, {});
      if (made != kOk) return made;
      m.grants[m.number] = {{"user:" + name}, "admin"};
      m.setups.insert(hash);
      return kOk;
    });
  }

  /// What is due by now as the newest view has it. What the batch took away meanwhile is skipped by the command.
  void sweep() {
    commit();
    const auto entries = identity_due_entries(reader(), context_.uptime, 1 + below(4)).value();
    SweepIdentities command{
        .context = context_, .entries = entries, .expired_keep = kKeep, .users_max = 1 + below(3)};
    std::set<std::uint64_t> looked_at;
    for (const IdentityDueKey& entry : entries) looked_at.insert(entry.id);
    add("sweep", command, [=, now = context_.now](Model& m) {
      std::erase_if(m.secrets, [&](const auto& entry) {
        const Model::Secret& secret = entry.second;
        return looked_at.contains(secret.id) && secret.expires_at != WallTime{} && secret.expires_at + kKeep <= now;
      });
      return kOk;
    });
  }

  // ---- the batch ----

  template <class Command>
  void add(const std::string& what, Command command, Expect expect) {
    auto answer = std::make_shared<typename Step<Command>::Answer>();
    batch_.push_back(std::make_unique<Step<Command>>(command, answer));
    happened_.push_back([this, what, command, answer, expect = std::move(expect)](bool acknowledged) {
      const std::string expected = expect(model_);
      auto alone = std::make_shared<typename Step<Command>::Answer>();
      kv::Commands one, cold;
      one.push_back(std::make_unique<Step<Command>>(command, alone));
      expect_that(twin_core_.apply(std::move(one), cold).has_value(), "the twin can write");
      story_ += "\n  " + what + ": " + expected + (acknowledged ? "" : " (not told)");
      expect_that(code(*alone) == expected, what + " alone says " + code(*alone));
      const std::string said = code(*answer);
      expect_that(said == (acknowledged ? expected : "unavailable"), what + " said " + said);
    });
  }

  void commit() {
    if (batch_.empty()) return;
    auto batch = std::exchange(batch_, {});
    auto happened = std::exchange(happened_, {});
    const bool crash = crashes_ && below(8) == 0;
    const bool written = below(2) == 0;
    if (crash) store_.fault = written ? CrashStore::Fault::written : CrashStore::Fault::lost;
    kv::Commands cold;
    const bool ok = core_->apply(std::move(batch), cold).has_value();
    store_.fault = CrashStore::Fault::none;
    if (!ok) story_ += std::string("\n  crash ") + (written ? "after" : "before") + " the write reached the disk";
    if (ok || written) {
      for (const auto& one : happened) one(ok);
    }
    if (!ok) reopen();
  }

  void reopen() {
    core_ = std::make_unique<kv::CommitterCore>(store_, nullptr);
    REQUIRE(core_->open().has_value());
  }

  // ---- what must hold ----

  void verify() {
    const auto findings = check_index(reader()).value();
    expect_that(findings.empty(), findings.empty() ? "" : findings.front());
    for (const std::string& name : kUsers) {
      const auto user = find_user(reader(), name).value();
      expect_that(user.has_value() == model_.users.contains(name), "user " + name + " is there or not");
      if (!user) continue;
      const Model::Person& person = model_.users[name];
      expect_that(std::ranges::equal(user->groups, person.groups), "the groups of " + name);
      expect_that(user->version == person.version && user->actor == model_.actors["user:" + name], "who " + name + " is");
    }
    for (const std::string& name : kGroups) {
      const auto group = find_group(reader(), name).value();
      expect_that(group.has_value() == model_.groups.contains(name), "group " + name + " is there or not");
      if (!group) continue;
      expect_that(Model::Group{group->id, {group->members.begin(), group->members.end()}} == model_.groups[name],
                  "the members of " + name);
    }
    for (const std::string& name : kRobots) {
      expect_that(find_robot(reader(), name).value().has_value() == model_.robots.contains(name), "robot " + name);
    }
    for (std::uint64_t hash = 0; hash < 40; ++hash) {
      const auto found = find_credential(reader(), secret_hash(hash)).value();
      const auto known = model_.secrets.find(hash);
      expect_that(found.has_value() == (known != model_.secrets.end()), "a secret opens or not");
      if (found) expect_that(found->owner == known->second.owner && found->id == known->second.id, "whose it is");
    }
    const PolicySnapshot policy = read_policy(reader()).value();
    expect_that(policy.grants.size() == model_.grants.size(), "the number of grants");
    for (const StoredGrant& given : policy.grants) {
      const Model::Given& known = model_.grants[given.id];
      expect_that(given.content == grant(known.subjects, known.role) || known.role == "admin", "a grant");
      expect_that(given.content.subjects == known.subjects, "whom a grant names");
    }
    expect_that(policy.roles.size() == model_.roles.size() && policy.groups.size() == model_.groups.size(), "the policy");
    const auto keys = list_token_keys(reader()).value();
    expect_that(keys.size() == model_.keys.size(), "the number of keys");
    for (const TokenKey& key : keys) expect_that(model_.keys[key.id] == key.state, "the state of a key");
    for (const auto& [subject, actor] : model_.actors) {
      expect_that(actor_of(reader(), subject).value() == actor, "the actor of " + subject);
    }
  }

  void compare() {
    const Dump all = dump(reader());
    expect_that(all == dump(twin_core_.views().current()->reader(kv::Tier::any)),
                "a batch equals its commands one by one");
    Dump expected = all, replica;
    for (const auto& [where, value] : all) {
      if (where.first != family::log) continue;
      const ChangeRecord change = decode<ChangeRecord>(value).value();
      for (const auto& write : change.writes) {
        if (write.value) {
          replica[{write.family, write.key}] = *write.value;
        } else {
          replica.erase({write.family, write.key});
        }
      }
    }
    std::erase_if(expected, [](const auto& entry) {
      const auto& [family, key] = entry.first;
      const bool secret = family == family::identities &&
                          (key.starts_with(PasswordKey::prefix()) || key.starts_with(SecretKey::prefix()) ||
                           key.starts_with(SecretOfKey::prefix()) || key.starts_with(SigningSecretKey::prefix()) ||
                           key.starts_with(SetupKey::prefix()));
      return secret || family == family::queues || family == family::log;
    });
    expect_that(replica == expected, "the change log rebuilds all but the secrets");
  }

  void delete_everybody() {
    for (const std::string& name : kUsers) delete_user(name);
    for (const std::string& name : kGroups) delete_group(name);
    for (const std::string& name : kRobots) delete_robot(name);
    commit();
    for (int i = 0; i < 200; ++i) {
      context_.now += kStep;
      context_.uptime += kStep;
      sweep();
    }
    commit();
    verify();
    for (const auto& [where, value] : dump(reader())) {
      expect_that(where.first != family::queues, "nothing is left to do");
      const bool of_people = where.first == family::identities &&
                             (where.second.starts_with(GroupUserKey::prefix()) ||
                              where.second.starts_with(PasswordKey::prefix()) ||
                              where.second.starts_with(SecretKey::prefix()));
      expect_that(!of_people, "nothing of anybody is left");
    }
  }

  void expect_that(bool holds, const std::string& what) {
    if (!holds) FAIL(what << "\nhistory:" << story_);
  }
  const kv::Reader& reader() {
    view_ = core_->views().current();
    return view_->reader(kv::Tier::any);
  }

  static constexpr std::chrono::milliseconds kStep = std::chrono::hours(1);
  static constexpr std::chrono::milliseconds kKeep = std::chrono::hours(2);
  const std::vector<std::string> kUsers = {"a", "b", "c"}, kGroups = {"g", "h"}, kRobots = {"r", "s"},
                                 kRoles = {"own", "other"}, kKeys = {"k1", "k2", "k3"},
                                 kOutside = {"user:a", "robot:r", "federated:x:y", "certificate:z"},
                                 kSubjects = {"user:a", "user:b", "group:g", "robot:r", "authenticated"};

  std::mt19937_64 random_;
  CommandContext context_;
  Model model_;
  CrashStore store_;
  std::unique_ptr<kv::CommitterCore> core_;
  std::shared_ptr<const kv::View> view_;
  std::unique_ptr<kv::Store> twin_store_ = kv::make_memory_store(schema());
  kv::CommitterCore twin_core_{*twin_store_, nullptr};
  kv::Commands batch_;
  std::vector<std::function<void(bool acknowledged)>> happened_;
  bool crashes_ = true;
  std::string story_;
};

TEST_CASE("random histories of identities with crashes equal a plain model", "[simulation]") {
  std::uint64_t first = 1, last = 40;
  if (const char* seed = std::getenv("BERTH_SEED")) first = last = std::strtoull(seed, nullptr, 10);
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    INFO("again with BERTH_SEED=" << seed);
    Simulation(seed).run(30);
  }
}

}  // namespace
}  // namespace berth::registry::testing
