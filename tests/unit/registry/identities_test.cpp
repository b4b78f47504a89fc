#include "registry/identities/identities.h"

#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "registry/check.h"
#include "registry/identities/queries.h"
#include "storage/kv/memory_kv.h"
#include "storage/kv/rocksdb_kv.h"
#include "tests/support/manual_clock.h"

namespace berth::registry {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;

enum class Engine { memory, rocksdb };

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-identities-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string index() const { return path_ / "index"; }

 private:
  std::filesystem::path path_;
};

/// Identities over a store of their own, as after each start of a process.
class World {
 public:
  explicit World(Engine engine) : engine_(engine) { open(); }
  ~World() { close(); }

  void reopen() {
    close();
    open();
  }
  Identities& operator*() { return *identities_; }
  Identities* operator->() { return identities_.get(); }
  kv::Committer& committer() { return *committer_; }
  Pause& pause() { return *pause_; }
  test::ManualClock& clock() { return clock_; }

  template <class T>
  Result<T> run(Task<T> task) {
    asio::io_context io;
    return run_on(io, std::move(task));
  }
  template <class T>
  static Result<T> run_on(asio::io_context& io, Task<T> task) {
    std::optional<Result<T>> outcome;
    auto done = [&outcome](std::exception_ptr failure, Result<T> result) {
      if (failure) std::rethrow_exception(failure);
      outcome = std::move(result);
    };
    asio::co_spawn(io, std::move(task), std::move(done));
    io.run();
    io.restart();
    return *std::move(outcome);
  }
  template <class T>
  T must(Task<T> task) {
    Result<T> result = run(std::move(task));
    if (!result) FAIL(result.error().message);
    return *std::move(result);
  }
  void must_do(Task<void> task) {
    const Result<void> result = run(std::move(task));
    if (!result) FAIL(result.error().message);
  }
  void check() {
    const auto findings = check_index(committer_->view()->reader(kv::Tier::any));
    REQUIRE(findings.has_value());
    CHECK(*findings == Names{});
  }

 private:
  void open() {
    if (engine_ == Engine::rocksdb) {
      kv::RocksDbOptions options;
      options.directory = folder_.index();
      auto opened = kv::open_rocksdb(schema(), options);
      REQUIRE(opened.has_value());
      store_ = *std::move(opened);
    } else if (!store_) {
      store_ = kv::make_memory_store(schema());
    }
    pool_ = std::make_unique<Pool>("disk", 2);
    signal_ = make_identity_signal();
    auto on_commit = [signal = signal_](std::span<const std::string> touched, std::uint64_t version) {
      invalidate(*signal, touched, version);
    };
    committer_ = std::make_unique<kv::Committer>(*store_, *pool_, kv::CommitterOptions{}, std::move(on_commit),
                                                 [](const Error&) {});
    REQUIRE(committer_->start().has_value());
    IdentitiesOptions options;
    options.fold_interval = options.sweep_interval = 1h;
    options.pause = pause_;
    auto opened = open_identities({*committer_, *pool_, clock_}, signal_, options);
    REQUIRE(opened.has_value());
    identities_ = *std::move(opened);
  }
  void close() {
    identities_.reset();
    committer_->stop();
    pool_->stop();
    committer_.reset();
    pool_.reset();
    kv::ViewSource::release_thread_cache();
    if (engine_ == Engine::rocksdb) store_.reset();
  }

  Engine engine_;
  const std::shared_ptr<Pause> pause_ = std::make_shared<Pause>(false);
  Folder folder_;
  test::ManualClock clock_;
  std::unique_ptr<kv::Store> store_;
  std::unique_ptr<Pool> pool_;
  std::shared_ptr<IdentitySignal> signal_;
  std::unique_ptr<kv::Committer> committer_;
  std::unique_ptr<Identities> identities_;
};

SecretHash hash_of(std::uint8_t byte) {
  SecretHash hash;
  hash.fill(std::byte{byte});
  return hash;
}

GrantContent grant(Names subjects, std::string role) {
  GrantContent content;
  content.subjects = std::move(subjects);
  content.repositories = {"team/**"};
  content.role = std::move(role);
  return content;
}

const Actor kAdmin{7, "request", "user:root"};

TEST_CASE("identities outlive a restart") {
  const Engine engine = GENERATE(Engine::memory, Engine::rocksdb);
  World world(engine);
  world.must(world->create_group(kAdmin, {.name = "Dev", .members = {"federated:ci:x", "user:LDAP"}}));
  const User alice =
      world.must(world->create_user(kAdmin, {.name = "Alice", .password_hash = "$x", .groups = {"DEV"}}));
  const Robot robot = world.must(world->create_robot(kAdmin, {.name = "ci", .secret = NewCredential{hash_of(1)}}));
  const Credential token = world.must(
      world->create_token(kAdmin, "user:alice", OwnerOrigin::local, {.hash = hash_of(2), .name = "laptop"}));
  world.must(world->issue_refresh_token(kAdmin, "user:Alice", OwnerOrigin::local,
                                        {.hash = hash_of(3), .service = "s", .client_id = "c"}));
  world.must(world->create_role(kAdmin, {.name = "Pusher", .actions = action::push}));
  const StoredGrant given = world.must(world->create_grant(kAdmin, grant({"group:Dev"}, "PUSHER")));
  world.must(world->add_token_key(kAdmin, {.id = "k", .algorithm = "ES256", .pkcs8 = "bytes"}));
  const ActorId outside = world.must(world->actor_of(kAdmin, "federated:ci:x"));
  world.must(world->use_setup_secret(kAdmin, hash_of(9), {.name = "root"}));
  world->note_login("alice");
  world->note_use(token);

  for (int round = 0; round < 2; ++round) {
    const LoginUser login = world.must(world->find_login("ALICE")).value();
    CHECK(login.password_hash == "$x");
    CHECK(login.user.actor == alice.actor);
    CHECK(login.user.groups == Names{"dev"});
    CHECK(world.must(world->find_robot("ci")) == robot);
    CHECK(world.must(world->find_credential(hash_of(2)))->id == token.id);
    CHECK(world.must(world->find_credential(hash_of(3)))->client_id == "c");
    CHECK(!world.must(world->find_credential(hash_of(4))));
    CHECK(world.must(world->groups_listing("user:ldap")) == Names{"dev"});
    CHECK(world.must(world->find_grant(given.id)) == given);
    CHECK(world.must(world->find_role("pusher"))->actions == action::push);
    CHECK(world.must(world->list_token_keys()).at(0).pkcs8 == "bytes");
    CHECK(world.must(world->actor_of(kAdmin, "federated:ci:x")) == outside);
    CHECK(world.must(world->find_actor(outside))->kind == ActorKind::federated);
    CHECK(world.run(world->use_setup_secret(kAdmin, hash_of(9), {.name = "second"})).failed_with(ErrorCode::denied));
    CHECK(world.must(world->snapshot())->grants.size() == 2);
    world.check();
    world.reopen();
  }
  // What was noted was folded in at the stop.
  CHECK(world.must(world->find_user("alice"))->last_login_at == world.clock().wall());
  const auto tokens = world.must(world->list_credentials(CredentialKind::personal_token, "user:alice", 10, 0));
  CHECK(tokens.items.at(0).last_used_at == world.clock().wall());
}

TEST_CASE("a data directory of the format before has the family after it was opened") {
  Folder folder;
  kv::RocksDbOptions options;
  options.directory = folder.index();
  {
    kv::Schema before = schema();
    before.resize(family::identities);
    auto store = kv::open_rocksdb(before, options);
    REQUIRE(store.has_value());
    const std::vector<kv::Write> writes = {
        {FormatKey::kFamily, FormatKey{}.encode(), encode(FormatRecord{1, 0})},
        {CounterKey::kFamily, CounterKey{Counter::repositories}.encode(), encode(CounterRecord{5})}};
    REQUIRE((*store)->write(writes).has_value());
  }
  auto store = kv::open_rocksdb(schema(), options);
  REQUIRE(store.has_value());
  Pool pool("disk", 1);
  kv::Committer committer(**store, pool, {}, nullptr, [](const Error&) {});
  REQUIRE(committer.start().has_value());
  test::ManualClock clock;
  auto identities = open_identities({committer, pool, clock}, make_identity_signal(), {});
  REQUIRE(identities.has_value());
  asio::io_context io;
  CHECK(World::run_on(io, (*identities)->create_user(kAdmin, {.name = "alice"})).has_value());
  const auto view = committer.view();
  const kv::Reader& reader = view->reader(kv::Tier::any);
  CHECK(get(reader, FormatKey{}).value() == FormatRecord{1, 1});
  CHECK(get(reader, CounterKey{Counter::repositories}).value() == CounterRecord{5});
  CHECK(find_user(reader, "alice").value().has_value());
  identities->reset();
  committer.stop();
  kv::ViewSource::release_thread_cache();
}

TEST_CASE("the version moves with every change before it is acknowledged, and with nothing else") {
  World world(Engine::memory);
  std::uint64_t last = world->version();
  const auto moved = [&] { return std::exchange(last, world->version()) != last; };
  const User alice = world.must(world->create_user(kAdmin, {.name = "alice"}));
  CHECK(moved());
  CHECK(!moved());
  world.must(world->update_user(kAdmin, "alice", {.enabled = false}));
  CHECK(moved());
  CHECK(!world.run(world->update_user(kAdmin, "alice", {}, alice.version)).has_value());
  CHECK(!moved());
  world->note_login("alice");
  world->run_now();
  world.must(world->actor_of(kAdmin, "certificate:x"));
  CHECK(!moved());
  world.must_do(world->delete_user(kAdmin, "alice", Erasure::keep_name));
  CHECK(moved());
}

TEST_CASE("in a pause nobody's login is written down and nothing is swept, and afterwards both are") {
  World world(Engine::memory);
  world.must(world->create_user(kAdmin, {.name = "alice"}));
  NewCredential token{.hash = hash_of(3), .name = "old", .expires_at = world.clock().wall() + 1s};
  world.must(world->create_token(kAdmin, "user:alice", OwnerOrigin::local, token));
  world.pause().set(true);
  const auto version = world.committer().view()->version();
  world->note_login("alice");
  world.clock().advance(24h * 30);
  world->run_now();
  CHECK(world.committer().view()->version() == version);
  CHECK(world.must(world->find_user("alice"))->last_login_at == WallTime{});
  CHECK(world.must(world->find_credential(hash_of(3))).has_value());
  world.pause().set(false);
  world->run_now();
  CHECK(world.must(world->find_user("alice"))->last_login_at != WallTime{});
  CHECK_FALSE(world.must(world->find_credential(hash_of(3))).has_value());
}

TEST_CASE("the snapshot is made anew when roles, grants or groups changed, and only then") {
  World world(Engine::memory);
  const auto first = world.must(world->snapshot());
  world.must(world->create_user(kAdmin, {.name = "alice"}));
  CHECK(world.must(world->snapshot()) == first);
  const StoredGrant given = world.must(world->create_grant(kAdmin, grant({"user:alice"}, "reader")));
  const auto second = world.must(world->snapshot());
  CHECK(second != first);
  CHECK(second->version > first->version);
  CHECK(second->grants == std::vector<StoredGrant>{given});
  CHECK(first->grants.empty());
  world.must(world->create_group(kAdmin, {.name = "dev"}));
  CHECK(world.must(world->snapshot())->groups == Names{"dev"});
  world.must(world->create_role(kAdmin, {.name = "pusher", .actions = 3}));
  CHECK(world.must(world->snapshot())->roles.at(0).name == "pusher");
  world.must_do(world->delete_user(kAdmin, "alice", Erasure::keep_name));
  CHECK(world.must(world->snapshot())->grants.empty());
}

TEST_CASE("no reader finds an old answer under a new version, nor a snapshot that lacks what was acknowledged") {
  World world(Engine::memory);
  std::atomic<std::uint64_t> acknowledged{0};
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    asio::io_context io;
    std::uint64_t filed_under = ~std::uint64_t{0};
    std::uint64_t filed = 0;
    while (!done) {
      const std::uint64_t known = acknowledged;
      const std::uint64_t version = world->version();
      const auto totals = World::run_on(io, world->totals());
      const auto snapshot = World::run_on(io, world->snapshot());
      if (!totals || !snapshot) return void(++wrong);
      // As a cache above would: what was filed under this version is still what one finds, or older than is allowed.
      if (version != filed_under) {
        filed_under = version;
        filed = totals->grants;
      }
      if (filed < known || (*snapshot)->grants.size() < known) ++wrong;
    }
    kv::ViewSource::release_thread_cache();
  });
  for (std::uint64_t i = 1; i <= 150; ++i) {
    world.must(world->create_grant(kAdmin, grant({"anonymous"}, "reader")));
    acknowledged = i;
  }
  done = true;
  reader.join();
  CHECK(wrong == 0);
}

TEST_CASE("what expired goes by itself") {
  World world(Engine::memory);
  world.must(world->create_user(kAdmin, {.name = "alice"}));
  const WallTime soon = world.clock().wall() + 1h;
  for (std::uint8_t i = 0; i < 100; ++i) {
    world.must(world->create_token(kAdmin, "user:alice", OwnerOrigin::local,
                                   {.hash = hash_of(i), .name = "t", .expires_at = soon}));
  }
  CHECK(!world.run(world->create_token(kAdmin, "user:alice", OwnerOrigin::local, {.hash = hash_of(200), .name = "t"}))
             .has_value());
  world.clock().advance(1h);
  world->run_now();
  CHECK(world.must(world->list_credentials(CredentialKind::personal_token, "user:alice", 200, 0)).items.size() == 100);
  world.clock().advance(24h * 7);
  world->run_now();
  CHECK(world.must(world->list_credentials(CredentialKind::personal_token, "user:alice", 200, 0)).items.empty());
  world.check();
}

TEST_CASE("roles that the configuration defines can be granted while it does") {
  World world(Engine::memory);
  CHECK(!world.run(world->create_grant(kAdmin, grant({"anonymous"}, "own"))).has_value());
  world->set_configured_roles({"own"});
  CHECK(world.run(world->create_grant(kAdmin, grant({"anonymous"}, "own"))).has_value());
  CHECK(world.run(world->create_role(kAdmin, {.name = "own", .actions = 1})).failed_with(kIdentityConflict));
}

TEST_CASE("no error of a change says what a secret or its hash is") {
  World world(Engine::memory);
  const auto bad = world.run(world->create_user(kAdmin, {.name = "alice", .password_hash = "plain text"}));
  REQUIRE(!bad.has_value());
  CHECK((bad.error().message + bad.error().log_detail).find("plain") == std::string::npos);
  world.must(world->create_robot(kAdmin, {.name = "ci", .secret = NewCredential{hash_of(0x41)}}));
  const auto taken = world.run(world->add_robot_secret(kAdmin, "ci", {.hash = hash_of(0x41)}));
  REQUIRE(!taken.has_value());
  CHECK((taken.error().message + taken.error().log_detail).find("AAAA") == std::string::npos);
}

TEST_CASE("more uses than fit are not remembered, and the others are") {
  UseCounter counter;
  for (std::uint64_t i = 0; i < 2 * UseCounter::kEntriesMax; ++i) {
    counter.note({.kind = IdentityUse::Kind::credential, .subject = "user:a", .credential = i, .when = {}});
  }
  CHECK(counter.take().size() <= UseCounter::kEntriesMax);
  CHECK(counter.take().empty());
  counter.note({.subject = "user:a", .when = WallTime(2ms)});
  counter.note({.subject = "user:a", .when = WallTime(1ms)});
  const auto uses = counter.take();
  REQUIRE(uses.size() == 1);
  CHECK(uses[0].when == WallTime(2ms));
}

}  // namespace
}  // namespace berth::registry
