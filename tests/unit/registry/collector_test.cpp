#include "registry/collector.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>
#include <thread>

#include "registry/queries.h"
#include "tests/support/faulty_files.h"
#include "tests/support/hooked_blobs.h"
#include "tests/support/test_registry.h"

namespace berth::registry {
namespace {

using namespace std::chrono_literals;
using test::Engines;
using test::TestRegistry;
using test::TestRegistryOptions;

constexpr std::size_t kSmall = 1000;
constexpr std::size_t kLarge = 300'000;

std::string content(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

template <class T>
std::string code(const Result<T>& result) {
  return result ? "ok" : std::string(to_string(result.error().code));
}

TestRegistryOptions options_with(std::chrono::milliseconds grace, std::chrono::milliseconds undo) {
  TestRegistryOptions options;
  options.engines = Engines::files;
  options.registry.collection_grace = grace;
  options.registry.undo_window = undo;
  options.registry.reap_delay = 60s;
  return options;
}

std::size_t blob_files(TestRegistry& registry) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(registry.directory() / "blobs")) {
    files += entry.is_regular_file() ? 1 : 0;
  }
  return files;
}

bool is_stored(TestRegistry& registry, const std::string& bytes) {
  const auto view = registry.committer().view();
  return find_stored_blob(view->reader(kv::Tier::any), oci::sha256(bytes)).value().has_value();
}

std::size_t entries(TestRegistry& registry, kv::Family family) {
  const auto view = registry.committer().view();
  const auto cursor = view->reader(kv::Tier::any).scan(family, {}).value();
  std::size_t count = 0;
  for (; cursor->valid(); cursor->next()) ++count;
  REQUIRE(cursor->status().has_value());
  return count;
}

TEST_CASE("what nothing refers to goes after the grace, with its file; what is referred to stays") {
  TestRegistry registry(options_with(24h, 48h));
  const std::string config = content(kSmall, 1), layer = content(kLarge, 2), shared = content(kLarge, 3);
  const std::string stray_small = content(kSmall, 4), stray_large = content(kLarge, 5);
  REQUIRE(code(registry.push_image("team/app", "v1", {config, layer, shared})) == "ok");
  REQUIRE(code(registry.push_image("team/two", "v1", {config, shared})) == "ok");
  REQUIRE(code(registry.push_blob("team/app", stray_small)) == "ok");
  REQUIRE(code(registry.push_blob("team/app", stray_large)) == "ok");
  CHECK(blob_files(registry) == 3);

  registry.clock().advance(24h - 1ms);
  registry.collect_now();
  CHECK(registry.pull_blob("team/app", oci::sha256(stray_large)).value() == stray_large);
  registry.clock().advance(1ms);
  registry.collect_now();
  CHECK(code(registry.pull_blob("team/app", oci::sha256(stray_small))) == "blob_unknown");
  CHECK(code(registry.pull_blob("team/app", oci::sha256(stray_large))) == "blob_unknown");
  CHECK_FALSE(is_stored(registry, stray_small));
  CHECK(blob_files(registry) == 3);  // somebody may be reading it still
  registry.clock().advance(60s);
  registry.collect_now();
  CHECK(blob_files(registry) == 2);
  for (const std::string& blob : {config, layer, shared}) {
    CHECK(registry.pull_blob("team/app", oci::sha256(blob)).value() == blob);
  }

  // The image goes: the manifest after the undo window, then its blobs after a full grace. What team/two needs stays.
  const oci::Digest manifest = oci::sha256(TestRegistry::image_manifest({config, layer, shared}));
  const auto actor = TestRegistry::actor();
  REQUIRE(code(registry.run(registry->delete_manifest(actor, TestRegistry::name("team/app"), manifest, {},
                                                    TagSet::everything()))) == "ok");
  registry.clock().advance(48h - 1ms);
  registry.collect_now();
  CHECK(registry.pull_blob("team/app", oci::sha256(layer)).value() == layer);
  registry.clock().advance(1ms);
  registry.collect_now();
  CHECK(registry.pull_blob("team/app", oci::sha256(layer)).value() == layer);
  registry.clock().advance(24h);
  registry.collect_now();
  CHECK(code(registry.pull_blob("team/app", oci::sha256(layer))) == "blob_unknown");
  registry.clock().advance(60s);
  registry.collect_now();
  CHECK(blob_files(registry) == 1);
  CHECK(registry.pull_blob("team/two", oci::sha256(shared)).value() == shared);
  CHECK(registry.pull_blob("team/two", oci::sha256(config)).value() == config);

  // And when the last repository goes, nothing is left: no record, no byte, nothing due.
  REQUIRE(code(registry.run(registry->delete_repository(actor, TestRegistry::name("team/two"), TagSet::everything()))) == "ok");
  for (int i = 0; i < 8; ++i) {
    registry.clock().advance(48h);
    registry.collect_now();
  }
  CHECK(blob_files(registry) == 0);
  for (const kv::Family family : {family::objects, family::bytes, family::links, family::manifests, family::tags,
                                  family::queues}) {
    CAPTURE(int{family});
    CHECK(entries(registry, family) == 0);
  }
}

TEST_CASE("an answer that a blob is here keeps it for a full grace") {
  TestRegistry registry(options_with(24h, 48h));
  const std::string asked = content(kSmall, 1), mounted = content(kSmall, 2), pushed = content(kSmall, 3),
                    forgotten = content(kSmall, 4);
  const auto name = TestRegistry::name("team/app");
  const auto actor = TestRegistry::actor();
  for (const std::string& blob : {asked, mounted, pushed, forgotten}) {
    REQUIRE(code(registry.push_blob("team/app", blob)) == "ok");
  }
  registry.clock().advance(20h);
  CHECK(registry.run(registry->blob_size(Actor{}, name, oci::sha256(asked))).value() == kSmall);
  CHECK(registry.run(registry->mount_blob(actor, name, oci::sha256(mounted), {}, Visibility::everything())).value());
  CHECK(code(registry.push_blob("team/app", pushed)) == "ok");
  registry.clock().advance(20h);
  registry.collect_now();
  for (const std::string& blob : {asked, mounted, pushed}) {
    CHECK(registry.pull_blob("team/app", oci::sha256(blob)).value() == blob);
  }
  CHECK(code(registry.pull_blob("team/app", oci::sha256(forgotten))) == "blob_unknown");
}

TEST_CASE("neither a wall clock that jumps nor a time of downtime makes anything fall due") {
  TestRegistry registry(options_with(24h, 48h));
  const std::string blob = content(kLarge, 1);
  REQUIRE(code(registry.push_blob("team/app", blob)) == "ok");
  registry.clock().jump_wall(24h * 365);
  registry.collect_now();
  CHECK(code(registry.pull_blob("team/app", oci::sha256(blob))) == "ok");
  registry.clock().advance(12h);
  registry.reopen(TestRegistry::End::orderly, 1000h);
  registry.collect_now();
  CHECK(code(registry.pull_blob("team/app", oci::sha256(blob))) == "ok");
  // What a killed process had not written down is lived through again, never skipped.
  registry.clock().advance(6h);
  registry.collect_now();
  registry.clock().advance(5h);
  registry.reopen(TestRegistry::End::killed, 1000h);
  registry.clock().advance(5h);
  registry.collect_now();
  CHECK(code(registry.pull_blob("team/app", oci::sha256(blob))) == "ok");
  registry.clock().advance(1h);
  registry.collect_now();
  CHECK(code(registry.pull_blob("team/app", oci::sha256(blob))) == "blob_unknown");
}

TEST_CASE("files that a crash left are removed at start; those that a record names are not") {
  TestRegistry registry(options_with(24h, 48h));
  const std::string kept = content(kLarge, 1), cut_off = content(kLarge, 2);
  REQUIRE(code(registry.push_blob("team/app", kept)) == "ok");
  const std::string id = make_uuid(registry.entropy());
  auto staging = registry.blobs().create(id, "note").value();
  REQUIRE(staging->write(as_bytes(cut_off), 0).has_value());
  REQUIRE(registry.blobs().publish(std::move(staging), id, oci::sha256(cut_off)).has_value());
  const std::string nobodys = make_uuid(registry.entropy());  // a sidecar that no session wrote
  REQUIRE(registry.blobs().create(nobodys, "note").value()->write(as_bytes(cut_off), 0).has_value());
  CHECK(blob_files(registry) == 2);
  registry.reopen(TestRegistry::End::killed);
  CHECK(blob_files(registry) == 1);
  CHECK(registry.blobs().staged().value().empty());
  CHECK(registry.pull_blob("team/app", oci::sha256(kept)).value() == kept);
}

TEST_CASE("an orphan is removed once it is certain that no record names it") {
  TestRegistry registry(options_with(24h, 48h));
  const std::string kept = content(kLarge, 1), lost = content(kLarge, 2);
  REQUIRE(code(registry.push_blob("team/app", kept)) == "ok");
  const auto named = registry.blobs().recent_places().value().at(0);
  const std::string id = make_uuid(registry.entropy());
  auto staging = registry.blobs().create(id, "note").value();
  REQUIRE(staging->write(as_bytes(lost), 0).has_value());
  const auto orphan = registry.blobs().publish(std::move(staging), id, oci::sha256(lost)).value();
  registry.local().core().uploads.add_orphan(named);
  registry.local().core().uploads.add_orphan(orphan);
  registry.collect_now();
  CHECK(blob_files(registry) == 1);
  CHECK(registry.pull_blob("team/app", oci::sha256(kept)).value() == kept);
  CHECK(registry.local().core().uploads.take_orphans().empty());
}

/// A link that cannot be read, and that is due.
struct PutDamagedLink {
  struct Outcome {};
  RepositoryId repository = 1;
  oci::Digest digest = oci::sha256("damaged");
  Result<Outcome> apply(kv::Transaction& transaction) {
    transaction.put(DueKey::kFamily, DueKey{Uptime{1}, DueKind::link, repository, digest}.encode(),
                    encode(EmptyRecord{}));
    transaction.put(LinkKey::kFamily, LinkKey{repository, digest}.encode(), "no record");
    return Outcome{};
  }
};

TEST_CASE("an entry that cannot be worked off does not hold up the others") {
  TestRegistry registry(options_with(24h, 48h));
  const std::string blob = content(kSmall, 1);
  REQUIRE(code(registry.push_image("team/app", "v1", {content(kSmall, 2)})) == "ok");
  REQUIRE(code(registry.push_blob("team/app", blob)) == "ok");
  REQUIRE(registry.committer().run(PutDamagedLink{}).has_value());
  registry.clock().advance(24h);
  registry.collect_now();
  CHECK(code(registry.pull_blob("team/app", oci::sha256(blob))) == "blob_unknown");
  CHECK(entries(registry, family::queues) == 1);
  registry.collect_now();  // ends, too
}

TEST_CASE("the collector's own thread works without being asked") {
  TestRegistryOptions options = options_with(1h, 2h);
  options.registry.collector_interval = 5ms;
  TestRegistry registry(options);
  const std::string blob = content(kLarge, 1);
  REQUIRE(code(registry.push_blob("team/app", blob)) == "ok");
  registry.clock().advance(1h);
  bool gone = false;
  for (int i = 0; i < 5000 && !gone; ++i) {
    gone = registry.pull_blob("team/app", oci::sha256(blob)).failed_with(ErrorCode::blob_unknown);
    std::this_thread::sleep_for(1ms);
  }
  CHECK(gone);
  registry.ballast().report_full();
  bool writable = false;
  for (int i = 0; i < 5000 && !writable; ++i) {
    writable = registry->writable();
    std::this_thread::sleep_for(1ms);
  }
  CHECK(writable);
  registry.reopen();
  registry->stop();
  registry->stop();  // once is enough, twice does no harm
}

TEST_CASE("a pass that takes long holds up neither the look at the disk nor the end of idle sessions") {
  TestRegistryOptions options = options_with(1h, 2h);
  options.registry.collector_interval = 5ms;
  options.registry.upload_ttl = 3h;
  std::atomic<bool> removing{false};
  std::atomic<bool> go_on{false};
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore> blobs) {
    auto hook = [&](std::string_view operation) -> Result<void> {
      if (operation != "remove") return {};
      removing = true;
      while (!go_on) std::this_thread::sleep_for(1ms);
      return {};
    };
    return std::make_unique<test::HookedBlobs>(std::move(blobs), hook);
  };
  TestRegistry registry(options);
  const auto soon = [](auto condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) std::this_thread::sleep_for(1ms);
    return condition();
  };
  REQUIRE(code(registry.push_blob("team/app", content(kLarge, 1))) == "ok");
  registry.clock().advance(1h);
  CHECK(soon([&] { return !is_stored(registry, content(kLarge, 1)); }));
  CHECK(code(registry.start_upload("team/app")) == "ok");
  registry.clock().advance(1h);
  CHECK(soon([&] { return removing.load(); }));

  registry.ballast().report_full();
  CHECK(soon([&] { return registry->writable(); }));
  CHECK(registry.local().core().uploads.size() == 1);
  registry.clock().advance(3h);
  CHECK(soon([&] { return registry.local().core().uploads.size() == 0; }));
  go_on = true;
}

TEST_CASE("a file that was removed does not come back with a power cut") {
  test::TemporaryFolder folder;
  test::ForgetfulFiles disk(storage::posix_file_system(), folder.path());
  TestRegistryOptions options = options_with(24h, 48h);
  bool cut = false;
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore>) {
    if (cut) disk.crash(test::ForgetfulFiles::Names::lost);
    storage::LocalBlobStoreOptions local;
    local.directory = folder.path();
    local.bucket_files_max = 1;  // a start looks for garbage in young buckets alone
    return storage::open_local_blob_store(disk, local).value();
  };
  const auto files = [&] {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  };
  TestRegistry registry(options);
  REQUIRE(code(registry.push_blob("team/app", content(kLarge, 1))) == "ok");
  std::vector<std::string> kept;
  for (std::uint64_t seed = 2; seed < 8; ++seed) kept.push_back(content(kLarge, seed));
  REQUIRE(code(registry.push_image("team/app", "v1", kept)) == "ok");
  registry.clock().advance(24h);
  registry.collect_now();
  CHECK(files() == kept.size() + 1);
  registry.clock().advance(60s);
  registry.collect_now();
  CHECK(files() == kept.size());
  cut = true;
  registry.reopen(TestRegistry::End::killed);
  CHECK(files() == kept.size());
  for (const std::string& blob : kept) CHECK(registry.pull_blob("team/app", oci::sha256(blob)).value() == blob);
}

TEST_CASE("no file is crossed off before its removal is known to last") {
  TestRegistryOptions options = options_with(24h, 48h);
  std::atomic<bool> failing{true};
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore> blobs) {
    auto hook = [&](std::string_view operation) -> Result<void> {
      return failing && operation == "sync_removals" ? storage::error_from_errno(EIO, "sync") : Result<void>();
    };
    return std::make_unique<test::HookedBlobs>(std::move(blobs), hook);
  };
  TestRegistry registry(options);
  REQUIRE(code(registry.push_blob("team/app", content(kLarge, 1))) == "ok");
  registry.clock().advance(24h);
  registry.collect_now();
  registry.clock().advance(60s);
  registry.collect_now();
  CHECK(blob_files(registry) == 0);
  CHECK(entries(registry, family::queues) == 1);
  failing = false;
  registry.collect_now();
  CHECK(entries(registry, family::queues) == 0);
}

TEST_CASE("the change log keeps what is young") {
  TestRegistryOptions options = options_with(24h, 48h);
  options.registry.change_log_keep = 1h;
  TestRegistry registry(options);
  for (std::uint64_t i = 0; i < 20; ++i) {
    REQUIRE(code(registry.push_blob("team/app", content(kSmall, i))) == "ok");
  }
  registry.collect_now();
  const std::size_t before = entries(registry, family::log);
  CHECK(before >= 20);
  registry.clock().advance(2h);
  REQUIRE(code(registry.push_blob("team/app", content(kSmall, 99))) == "ok");
  registry.collect_now();
  CHECK(entries(registry, family::log) < before);
  CHECK(entries(registry, family::log) >= 1);
}

}  // namespace
}  // namespace berth::registry
