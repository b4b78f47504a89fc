// What the registry counts, by what a scrape says before and after real requests.
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <string>

#include "registry/commands/totals.h"
#include "storage/measured_file_system.h"
#include "tests/support/faulty_files.h"
#include "tests/support/scrape.h"
#include "tests/support/test_registry.h"

namespace berth::registry {
namespace {

using namespace std::chrono_literals;
using test::Changes;
using test::Engines;
using test::TestRegistry;
using test::TestRegistryOptions;
using Deltas = std::map<std::string, double>;

constexpr std::size_t kSmall = 1000;
constexpr std::size_t kLarge = 300'000;

std::string content(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TestRegistryOptions over_files() {
  TestRegistryOptions options;
  options.engines = Engines::files;
  return options;
}

std::string descriptor(std::string_view type, const std::string& bytes) {
  return R"({"mediaType":")" + std::string(type) + R"(","digest":")" + oci::sha256(bytes).to_string() +
         R"(","size":)" + std::to_string(bytes.size()) + "}";
}
std::string manifest_of(std::string_view config_type, const std::string& config, std::string_view more = "") {
  return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json")" + std::string(more) +
         R"(,"config":)" + descriptor(config_type, config) + R"(,"layers":[]})";
}

/// By tag, with the type that the body says.
Result<PutManifestDone> push(TestRegistry& registry, std::string body, bool may_overwrite = true) {
  PutManifestRequest request{.repository = TestRegistry::name("team/app"),
                             .reference = TestRegistry::tag("v1"),
                             .content_type = "",
                             .body = std::move(body),
                             .extra_tags = {},
                             .expected_digest = {},
                             .precondition = {},
                             .may_overwrite = may_overwrite};
  return registry.run(registry->put_manifest(TestRegistry::actor(), std::move(request)));
}

TEST_CASE("each push and pull of a manifest counts once, by what it is and how it ends") {
  TestRegistry registry;
  const std::string config = "{}";
  REQUIRE(registry.push_blob("team/app", config).has_value());
  const std::string image = manifest_of("application/vnd.oci.image.config.v1+json", config);
  const std::string index =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)" +
      descriptor("application/vnd.oci.image.manifest.v1+json", image) + "]}";
  struct Row {
    const char* type;
    std::string body;
  };
  const Row rows[] = {
      {"image", image},
      {"image", manifest_of("application/vnd.docker.container.image.v1+json", config)},
      {"index", index},
      {"helm", manifest_of("application/vnd.cncf.helm.config.v1+json", config)},
      {"artifact", manifest_of("application/vnd.oci.empty.v1+json", config, R"(,"artifactType":"text/x-sbom")")},
      {"artifact", manifest_of("application/vnd.example.cache.v1+json", config)},
  };
  for (const Row& row : rows) {
    INFO(row.body);
    Changes changes;
    REQUIRE(push(registry, row.body).has_value());
    const std::string ok = std::string("{type=\"") + row.type + "\",result=\"ok\"}";
    CHECK(changes.all("berth_pushes_total") == Deltas{{ok, 1}});
    REQUIRE(registry.pull_manifest("team/app", "v1").has_value());  // from the index
    REQUIRE(registry.pull_manifest("team/app", "v1").has_value());  // from the cache
    CHECK(changes.all("berth_pulls_total") == Deltas{{ok, 2}});
    CHECK(changes.all("berth_cache_requests_total") == Deltas{{"{cache=\"manifest\",result=\"hit\"}", 1},
                                                              {"{cache=\"manifest\",result=\"miss\"}", 1}});
    // A look without the bytes is no pull.
    const bool count_pull = false;
    const oci::Reference tag = TestRegistry::tag("v1");
    REQUIRE(registry.run(registry->get_manifest(Actor{}, TestRegistry::name("team/app"), tag, count_pull)).has_value());
    CHECK(changes.of("berth_pulls_total" + ok) == 2);
  }
}

TEST_CASE("a push or pull that is refused counts under who has to mend it") {
  TestRegistryOptions options;
  options.registry.manifest_bytes_max = 4000;
  TestRegistry registry(options);
  const std::string lost = manifest_of("application/vnd.cncf.helm.config.v1+json", "not pushed");
  Changes changes;
  CHECK_FALSE(push(registry, lost).has_value());
  CHECK(changes.all("berth_pushes_total") == Deltas{{"{type=\"helm\",result=\"client_error\"}", 1}});
  CHECK_FALSE(push(registry, "no manifest").has_value());
  CHECK_FALSE(push(registry, std::string(4001, ' ')).has_value());
  CHECK(changes.of("berth_pushes_total{type=\"unknown\",result=\"client_error\"}") == 2);

  REQUIRE(registry.push_image("team/app", "v1", {"config"}).has_value());
  const bool may_overwrite = false;
  CHECK_FALSE(push(registry, TestRegistry::image_manifest({"config"}, "another"), may_overwrite).has_value());
  CHECK(changes.of("berth_pushes_total{type=\"image\",result=\"denied\"}") == 1);

  CHECK_FALSE(registry.pull_manifest("team/app", "v2").has_value());
  CHECK_FALSE(registry.pull_manifest("team/none", "v1").has_value());
  CHECK(changes.all("berth_pulls_total") == Deltas{{"{type=\"unknown\",result=\"client_error\"}", 2}});
}

TEST_CASE("each upload session counts once, by how it ends") {
  TestRegistryOptions options = over_files();
  options.registry.upload_ttl = 24h;
  TestRegistry registry(options);
  const double open_before = test::scrape().at("berth_blob_uploads_active");
  Changes changes;
  const auto ended = [&](const char* result) {
    return changes.of(std::string("berth_blob_uploads_total{result=\"") + result + "\"}");
  };
  REQUIRE(registry.push_blob("team/app", content(kLarge, 1)).has_value());
  CHECK(ended("ok") == 1);

  auto wrong = registry.start_upload("team/app").value();
  REQUIRE(registry.append(*wrong, "some bytes").has_value());
  CHECK_FALSE(registry.run(wrong->commit(oci::sha256("other bytes"))).has_value());
  wrong.reset();
  CHECK(ended("digest_mismatch") == 1);

  auto given_up = registry.start_upload("team/app").value();
  CHECK(test::scrape().at("berth_blob_uploads_active") == open_before + 1);
  REQUIRE(registry.run(given_up->cancel()).has_value());
  given_up.reset();
  CHECK(ended("aborted") == 1);
  const bool single_request = true;
  registry.start_upload("team/app", oci::Algorithm::sha256, single_request).value().reset();  // the client went away
  CHECK(ended("aborted") == 2);

  registry.start_upload("team/app").value().reset();
  registry.clock().advance(24h);
  registry.collect_now();
  CHECK(ended("expired") == 1);
  CHECK(changes.of("berth_gc_deleted_total{kind=\"upload\"}") == 1);
  CHECK(ended("error") == 0);
  CHECK(test::scrape().at("berth_blob_uploads_active") == open_before);
}

TEST_CASE("a sync that fails is an upload that ended in an error, and an error of the file system") {
  test::TemporaryFolder folder;
  test::FaultyFiles faulty(storage::posix_file_system());
  storage::MeasuredFileSystem files(faulty);
  TestRegistryOptions options;
  options.directory = folder.path();
  options.wrap_blobs = [&](std::unique_ptr<storage::BlobStore>) {
    storage::LocalBlobStoreOptions local;
    local.directory = folder.path();
    return storage::open_local_blob_store(files, local).value();
  };
  TestRegistry registry(options);
  Changes changes;
  faulty.arm({.nth = 1, .sticky = false, .calls = {test::FileCall::sync_data}});
  CHECK(registry.push_blob("team/app", content(kLarge, 1)).failed_with(ErrorCode::io_error));
  faulty.disarm();
  CHECK(changes.all("berth_blob_uploads_total") == Deltas{{"{result=\"error\"}", 1}});
  CHECK(changes.of("berth_storage_errors_total{driver=\"filesystem\",operation=\"fsync\"}") == 1);
}

TEST_CASE("mounts count by what came of them, and what need not be stored again is saved") {
  TestRegistry registry(over_files());
  const std::string small = content(kSmall, 1), large = content(kLarge, 2);
  REQUIRE(registry.push_blob("team/app", small).has_value());
  REQUIRE(registry.push_blob("team/app", large).has_value());
  Visibility all;
  all.all = true;
  const auto mount = [&](const std::string& bytes) {
    return registry.run(registry->mount_blob(TestRegistry::actor(), TestRegistry::name("team/other"),
                                             oci::sha256(bytes), TestRegistry::name("team/app"), all));
  };
  Changes changes;
  CHECK(mount(large).value());
  CHECK_FALSE(mount("never pushed").value());
  CHECK(changes.all("berth_blob_mounts_total") == Deltas{{"{result=\"ok\"}", 1}, {"{result=\"miss\"}", 1}});
  CHECK(changes.of("berth_blob_dedup_bytes_saved_total") == double(kLarge));
  REQUIRE(registry.push_blob("team/third", small).has_value());
  CHECK(changes.of("berth_blob_dedup_bytes_saved_total") == double(kLarge + kSmall));
  CHECK(changes.of("berth_storage_bytes") == 0);
  CHECK(changes.of("berth_storage_blobs") == 0);
  CHECK(changes.of("berth_storage_repositories") == 2);
}

TEST_CASE("the sums follow every push and delete, and collection says what it took") {
  TestRegistryOptions options = over_files();
  options.registry.collection_grace = 24h;
  options.registry.undo_window = 48h;
  options.registry.reap_delay = 60s;
  TestRegistry registry(options);
  Changes changes;
  const auto sum = [&](const char* name) { return changes.of(std::string("berth_storage_") + name); };
  const std::string config = content(kSmall, 1), layer = content(kLarge, 2);
  REQUIRE(registry.push_image("team/app", "v1", {config, layer}).has_value());
  REQUIRE(registry.push_image("team/app", "v2", {config, layer}).has_value());
  const std::string manifest = TestRegistry::image_manifest({config, layer});
  const double stored = double(kSmall + kLarge + manifest.size());
  CHECK(sum("repositories") == 1);
  CHECK(sum("manifests") == 1);
  CHECK(sum("tags") == 2);
  CHECK(sum("blobs") == 2);
  CHECK(sum("bytes") == stored);

  registry.reopen();
  CHECK(sum("bytes") == stored);
  const oci::Digest digest = oci::sha256(manifest);
  REQUIRE(registry.run(registry->delete_manifest(TestRegistry::actor(), TestRegistry::name("team/app"), digest, {},
                                                 TagSet::everything()))
              .has_value());
  CHECK(sum("manifests") == 0);
  CHECK(sum("tags") == 0);
  CHECK(sum("blobs") == 2);

  Changes collection;
  registry.clock().advance(48h);
  registry.collect_now();  // the manifest goes, its blobs have a grace
  CHECK(collection.all("berth_gc_deleted_total") == Deltas{{"{kind=\"manifest\"}", 1}});
  CHECK(collection.of("berth_gc_freed_bytes_total") == double(manifest.size()));
  registry.clock().advance(24h);
  registry.collect_now();  // the blobs go, the file waits for readers
  CHECK(collection.of("berth_gc_deleted_total{kind=\"blob\"}") == 2);
  CHECK(collection.of("berth_gc_freed_bytes_total") == double(manifest.size() + kSmall));
  CHECK(collection.of("berth_gc_pending_bytes") == double(kLarge));
  CHECK(sum("bytes") == 0);
  registry.clock().advance(60s);
  registry.collect_now();
  CHECK(collection.of("berth_gc_freed_bytes_total") == stored);
  CHECK(collection.of("berth_gc_pending_bytes") == 0);
  CHECK(collection.of("berth_gc_runs_total{result=\"ok\"}") == 3);
  CHECK(collection.of("berth_gc_runs_total{result=\"error\"}") == 0);
  CHECK(collection.of("berth_gc_seconds_count") == 3);
  const auto now = std::chrono::floor<std::chrono::seconds>(registry.clock().wall()).time_since_epoch();
  CHECK(test::scrape().at("berth_gc_last_success_timestamp_seconds") == double(now.count()));
  registry.collect_now();
  CHECK(collection.of("berth_gc_deleted_total{kind=\"repository\"}") == 1);
  CHECK(sum("repositories") == 0);
}

/// Takes away what an older berth would not have written.
struct ForgetSums {
  struct Outcome {};
  Result<Outcome> apply(kv::Transaction& transaction) const {
    transaction.erase(TotalKey::kFamily, TotalKey{Total::known}.encode());
    for (const Total which : kTotals) transaction.erase(TotalKey::kFamily, TotalKey{which}.encode());
    return Outcome{};
  }
};

TEST_CASE("an index from before there were sums is counted when it is opened") {
  TestRegistry registry(over_files());
  REQUIRE(registry.push_image("team/app", "v1", {content(kSmall, 1), content(kLarge, 2)}).has_value());
  REQUIRE(registry.push_image("team/two", "v1", {content(kSmall, 1)}).has_value());
  const auto before = test::scrape();
  REQUIRE(registry.committer().run(ForgetSums{}).has_value());
  CHECK(test::scrape().at("berth_storage_blobs") == 0);
  registry.reopen();
  const auto after = test::scrape();
  for (const char* name : {"repositories", "manifests", "tags", "blobs", "bytes"}) {
    INFO(name);
    const std::string series = std::string("berth_storage_") + name;
    CHECK(after.at(series) > 0);
    CHECK(after.at(series) == before.at(series));
  }
}

TEST_CASE("content that fails its check is counted, and shown until it is pushed again") {
  TestRegistry registry(over_files());
  const std::string bytes = content(kLarge, 1);
  REQUIRE(registry.push_blob("team/app", bytes).has_value());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(registry.directory() / "blobs")) {
    if (entry.is_regular_file()) std::filesystem::remove(entry.path());
  }
  Changes changes;
  CHECK_FALSE(registry.pull_blob("team/app", oci::sha256(bytes)).has_value());
  CHECK(changes.all("berth_scrub_corrupt_blobs_total") == Deltas{{"{kind=\"blob\"}", 1}});
  CHECK(changes.of("berth_scrub_quarantined_blobs") == 1);
  REQUIRE(registry.push_blob("team/app", bytes).has_value());
  CHECK(changes.of("berth_scrub_quarantined_blobs") == 0);
  CHECK(registry.pull_blob("team/app", oci::sha256(bytes)).value() == bytes);
}

TEST_CASE("the bytes of the caches are those of manifests and of small blobs") {
  TestRegistry registry;
  REQUIRE(registry.push_image("team/app", "v1", {content(kSmall, 1)}).has_value());
  Changes changes;
  const auto bytes = [&](const char* cache) {
    return changes.of(std::string("berth_cache_bytes{cache=\"") + cache + "\"}");
  };
  REQUIRE(registry.pull_manifest("team/app", "v1").has_value());
  CHECK(bytes("manifest") > 0);
  CHECK(bytes("blob") == 0);
  REQUIRE(registry.pull_blob("team/app", oci::sha256(content(kSmall, 1))).has_value());
  CHECK(bytes("blob") > double(kSmall));
  CHECK(bytes("manifest") + bytes("blob") == double(registry.cache().size_bytes()));
}

}  // namespace
}  // namespace berth::registry
