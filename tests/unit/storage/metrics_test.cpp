// What storage counts, by what a scrape says before and after real calls.
#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "base/task.h"
#include "storage/ballast.h"
#include "storage/blobs/blob_store.h"
#include "storage/kv/committer.h"
#include "storage/measured_file_system.h"
#include "tests/support/faulty_files.h"
#include "tests/support/scrape.h"
#include "tests/unit/storage/kv_engines.h"

namespace berth::storage {
namespace {

using test::Changes;
using test::FaultyFiles;
using test::FileCall;
using Deltas = std::map<std::string, double>;

struct Put {
  struct Outcome {};
  std::string key;
  Result<Outcome> apply(kv::Transaction& transaction) const {
    transaction.put(0, key, "value");
    return Outcome{};
  }
};

std::string calls(const char* operation) {
  return std::string("berth_storage_operation_seconds_count{driver=\"filesystem\",operation=\"") + operation + "\"}";
}

TEST_CASE("every call of the file system is timed under its own name, and its failure counted there") {
  test::TemporaryDirectory directory;
  FaultyFiles faulty(posix_file_system());
  MeasuredFileSystem files(faulty);
  LocalBlobStoreOptions options;
  options.directory = directory.path();
  auto store = open_local_blob_store(files, options).value();
  const std::string id = "0b8a1d9e-6e2c-4a1b-9d1f-3c2b1a0f9e8d";
  const std::string bytes(5000, 'x');
  const auto push = [&]() -> Result<Place> {
    BERTH_TRY(auto staging, store->create(id, "note"));
    BERTH_CHECK(staging->write(as_bytes(bytes), 0));
    return store->publish(std::move(staging), id, oci::sha256(bytes));
  };

  Changes sound;
  const auto place = push();
  REQUIRE(place.has_value());
  CHECK(sound.of(calls("fsync")) == 1);
  CHECK(sound.of(calls("fsync_directory")) == 1);
  CHECK(sound.of(calls("rename")) >= 1);
  CHECK(sound.of(calls("write")) >= 1);
  CHECK(sound.of(calls("open")) >= 1);
  CHECK(sound.all("berth_storage_errors_total").empty());
  REQUIRE(store->remove(*place).has_value());
  CHECK(sound.of(calls("unlink")) >= 1);

  struct Row {
    FileCall call;
    const char* operation;
  };
  for (const Row row : {Row{FileCall::sync_data, "fsync"}, Row{FileCall::sync_directory, "fsync_directory"},
                        Row{FileCall::rename, "rename"}, Row{FileCall::write, "write"}}) {
    INFO(row.operation);
    Changes failing;
    faulty.arm({.nth = 1, .sticky = false, .calls = {row.call}});
    CHECK_FALSE(push().has_value());
    faulty.disarm();
    CHECK(failing.all("berth_storage_errors_total") ==
          Deltas{{std::string("{driver=\"filesystem\",operation=\"") + row.operation + "\"}", 1}});
    CHECK(failing.of(calls(row.operation)) >= 1);
    ignore(store->discard(id));
  }
}

TEST_CASE("the disk and the ballast are shown as the last look found them") {
  constexpr std::uint64_t kGiB = 1 << 30;
  test::TemporaryDirectory directory;
  test::SmallDisk disk(posix_file_system(), kGiB);
  Ballast ballast(disk, {.directory = directory.path()});
  REQUIRE(ballast.open().has_value());
  const std::string where = "{path=\"" + directory.path() + "\"}";
  auto seen = test::scrape();
  CHECK(seen.at("berth_storage_filesystem_size_bytes" + where) == double(kGiB));
  CHECK(seen.at("berth_storage_ballast_bytes") == double(ballast.size_bytes()));
  CHECK(seen.at("berth_storage_low_water_bytes") == double(ballast.low_water_bytes()));
  CHECK(seen.at("berth_storage_full") == 0);

  disk.others_bytes = kGiB - disk.allocated_bytes() - (ballast.low_water_bytes() - 1);
  ballast.check();
  seen = test::scrape();
  CHECK(seen.at("berth_storage_filesystem_free_bytes" + where) == double(ballast.low_water_bytes() - 1));
  CHECK(seen.at("berth_storage_full") == 1);
  disk.others_bytes = kGiB - disk.allocated_bytes() - 1;
  ballast.check();
  CHECK(test::scrape().at("berth_storage_ballast_bytes") == 0);
  disk.others_bytes = 0;
  ballast.check();
  seen = test::scrape();
  CHECK(seen.at("berth_storage_full") == 0);
  CHECK(seen.at("berth_storage_ballast_bytes") == double(ballast.size_bytes()));
}

TEST_CASE("the index tells of its batches, and RocksDB of itself while it is open") {
  kv::TempDirectory directory;
  const kv::Schema schema = {{"first", kv::Access::point}, {"second", kv::Access::log}};
  {
    auto store = kv::open_rocksdb_engine(schema, directory.path());
    Pool pool("disk", 1);
    kv::Committer committer(*store, pool, {}, nullptr, [](const Error&) {});
    REQUIRE(committer.start().has_value());
    Changes changes;
    for (int i = 0; i < 10; ++i) REQUIRE(committer.run(Put{std::to_string(i)}).has_value());
    CHECK(changes.of("berth_committer_batch_commands_count") == 10);
    CHECK(changes.of("berth_committer_batch_commands_sum") == 10);
    CHECK(changes.of("berth_committer_commit_seconds_count") == 10);
    CHECK(changes.of("berth_rocksdb_wal_file_synced_total") == 10);
    CHECK(changes.of("berth_rocksdb_db_write_seconds_count") == 10);
    CHECK(changes.of("berth_rocksdb_wal_file_bytes_total") > 10 * 5);
    auto seen = test::scrape();
    CHECK(seen.at("berth_committer_queue_length") == 0);
    CHECK(seen.at("berth_rocksdb_estimate_num_keys{cf=\"first\"}") == 10);
    CHECK(seen.at("berth_rocksdb_estimate_num_keys{cf=\"second\"}") == 0);
    CHECK(seen.at("berth_rocksdb_num_files_at_level{cf=\"first\",level=\"0\"}") == 0);
    CHECK(seen.at("berth_rocksdb_is_write_stopped") == 0);
    REQUIRE(store->flush().has_value());
    seen = test::scrape();
    CHECK(seen.at("berth_rocksdb_num_files_at_level{cf=\"first\",level=\"0\"}") == 1);
    CHECK(seen.at("berth_rocksdb_live_sst_files_size_bytes{cf=\"first\"}") > 0);
    CHECK(seen.at("berth_rocksdb_block_cache_capacity_bytes") == double(4 << 20));
    committer.stop();
    kv::ViewSource::release_thread_cache();
  }
  CHECK_FALSE(test::scrape().contains("berth_rocksdb_is_write_stopped"));
}

TEST_CASE("an index that cannot be opened is an error of the engine") {
  kv::TempDirectory directory;
  const kv::Schema schema = {{"first", kv::Access::point}};
  { auto store = kv::open_rocksdb_engine(schema, directory.path()); }
  std::filesystem::remove(directory.path() / "CURRENT");
  std::filesystem::create_directory(directory.path() / "CURRENT");
  Changes changes;
  kv::RocksDbOptions options;
  options.directory = directory.path();
  CHECK_FALSE(kv::open_rocksdb(schema, options).has_value());
  CHECK(changes.all("berth_storage_errors_total") == Deltas{{"{driver=\"rocksdb\",operation=\"open\"}", 1}});
}

}  // namespace
}  // namespace berth::storage
