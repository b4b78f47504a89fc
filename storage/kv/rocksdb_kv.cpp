#include "storage/kv/rocksdb_kv.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdarg>
#include <list>
#include <mutex>
#include <optional>
#include <utility>

#include "storage/kv/disk_probe.h"
#include "storage/kv/index_files.h"
#include "storage/kv/rocksdb_metrics.h"
#include "storage/kv/wal_check.h"
#include "storage/measured_file_system.h"

namespace berth::kv {
namespace {

using rocksdb::Status;
using storage::IndexOperation;

/// Guards every pending write against memory errors on its way through the batch and the memtable.
constexpr std::size_t kProtectionBytesPerKey = 8;

/// From here on a disk has room for files that reserve more than they hold.
constexpr std::uintmax_t kRoomyDiskBytes = std::uintmax_t{4} << 30;

/// The log and the manifest reserve 22 MiB ahead of what is written: all that a small disk has, and what its ballast
/// was kept for.
bool is_roomy_disk(const std::filesystem::path& directory) {
  std::error_code failed;
  auto space = std::filesystem::space(directory, failed);
  if (failed) space = std::filesystem::space(std::filesystem::absolute(directory, failed).parent_path(), failed);
  return failed || space.capacity >= kRoomyDiskBytes;
}

Error would_block_error() { return make_error(ErrorCode::would_block, "not in memory"); }

/// RocksDB's Status as an Error: the one place where it is translated.
Error error_from_status(const Status& status, IndexOperation operation, const char* what) {
  if (status.IsIncomplete()) return would_block_error();
  storage::count_index_error(operation);
  std::string detail = std::string(what) + ": " + status.ToString();
  if (status.IsNoSpace() || status.subcode() == Status::kSpaceLimit) {
    return make_error(ErrorCode::storage_full, "the disk that holds the index is full", std::move(detail));
  }
  if (status.IsCorruption()) return make_error(ErrorCode::corrupt, "the index is damaged", std::move(detail));
  if (status.IsIOError()) {
    return make_error(ErrorCode::io_error, "the index could not be read or written", std::move(detail));
  }
  if (status.IsBusy() || status.IsTryAgain() || status.IsShutdownInProgress()) {
    return make_error(ErrorCode::unavailable, "the index is busy", std::move(detail));
  }
  return make_error(ErrorCode::internal, "the index failed", std::move(detail));
}

Error closed_error() { return make_error(ErrorCode::unavailable, "the index is closed"); }

/// RocksDB's own log: what an operator should know goes to ours, the rest nowhere.
class EngineLog final : public rocksdb::Logger {
 public:
  EngineLog() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override { write(spdlog::level::info, format, arguments); }
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (level < GetInfoLogLevel() || level == rocksdb::InfoLogLevel::HEADER_LEVEL) return;
    write(level == rocksdb::InfoLogLevel::WARN_LEVEL ? spdlog::level::warn : spdlog::level::err, format, arguments);
  }

 private:
  static void write(spdlog::level::level_enum level, const char* format, va_list arguments) {
    char line[1024];
    vsnprintf(line, sizeof line, format, arguments);
    if (std::string_view(line).find(kNoOptionsRecord) != std::string_view::npos) return;  // it is as it is meant
    spdlog::log(level, "rocksdb: {}", line);
  }
};

class BackgroundErrors final : public rocksdb::EventListener {
 public:
  explicit BackgroundErrors(std::function<void(std::string)> report) : report_(std::move(report)) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason, Status* error) override {
    if (report_ && error != nullptr) report_(error->ToString());
  }

 private:
  std::function<void(std::string)> report_;
};

rocksdb::DBOptions database_options(const RocksDbOptions& options) {
  rocksdb::DBOptions db;
  if (options.env != nullptr) db.env = options.env;
  db.create_if_missing = true;
  db.create_missing_column_families = true;  // a newer schema appends families

  // What an acknowledged change rests on.
  // The default mode drops every later change behind a damaged record without a word; this one refuses to open. What a
  // power cut leaves of a record that nobody was told about is cut off before (wal_check).
  db.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  db.paranoid_checks = true;                     // the default; never to be turned off
  db.verify_sst_unique_id_in_manifest = true;    // the default: a file of another store is noticed
  db.manual_wal_flush = false;                   // families may diverge after an error in the log (fixed in 9.7)
  db.recycle_log_file_num = 0;                   // stale records may come back (fixed in 9.2)
  db.wal_compression = rocksdb::kNoCompression;  // recovery of compressed logs has bugs (fixed in 8.0)
  db.track_and_verify_wals_in_manifest = false;  // false alarms that refuse to open (fixed in 7.10)
  db.allow_mmap_reads = false;                   // a read error would be a signal; slow when cold
  db.allow_mmap_writes = false;
  db.allow_fallocate = is_roomy_disk(options.directory);

  // What bounds the time to open.
  db.max_total_wal_size = options.wal_bytes_max;
  db.avoid_flush_during_recovery = true;   // a crash loop must not grow a pile of little files
  db.skip_stats_update_on_db_open = true;  // it reads a block of every file
  db.max_open_files = options.open_files_max;
  // With a bound on open files at most 16 of each family are opened at once; sixteen threads for each family, which is
  // the default, take longer to make than that.
  db.max_file_opening_threads = 1;

  // What bounds memory and threads: a small process, one writer.
  db.db_write_buffer_size = options.wal_bytes_max;  // memtables hold what the log holds
  db.max_background_jobs = 2;
  db.allow_concurrent_memtable_write = false;  // there is one writer
  db.enable_write_thread_adaptive_yield = false;
  db.stats_dump_period_sec = 0;     // no timer that writes statistics nobody reads
  db.stats_persist_period_sec = 0;  // nor keeps them in memory
  db.bytes_per_sync = 1 << 20;      // background writes go out smoothly, not as one burst that a commit waits behind

  // Reads happen on I/O threads: deleting files is left to the background.
  db.avoid_unnecessary_blocking_io = true;

  if (options.statistics) db.statistics = make_rocksdb_statistics();
  db.info_log = std::make_shared<EngineLog>();
  db.keep_log_file_num = 1;
  db.listeners.push_back(std::make_shared<BackgroundErrors>(options.on_background_error));
  return db;
}

rocksdb::ColumnFamilyOptions family_options(Access access, const RocksDbOptions& options,
                                            const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.checksum = rocksdb::kXXH3;  // Debian computes CRC32C in software
  table.format_version = 5;
  table.cache_index_and_filter_blocks = true;  // bounded by the cache, so that memory is
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;  // the newest files answer most reads
  table.whole_key_filtering = true;

  rocksdb::ColumnFamilyOptions family;
  family.write_buffer_size = options.write_buffer_bytes;
  family.arena_block_size = 64 << 10;  // a dozen families that hold little must cost little
  family.memtable_protection_bytes_per_key = kProtectionBytesPerKey;
  family.paranoid_file_checks = true;  // a file is read back before the log that could replace it is dropped
  family.force_consistency_checks = true;
  family.level_compaction_dynamic_level_bytes = true;  // about 1.1 bytes on disk for each live one
  family.compression = rocksdb::kLZ4Compression;       // keys repeat ids and manifests repeat words

  const auto filter = [&table, &family] {
    // HEAD asks for what is not there, and a push looks before it writes: 1 % go further.
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    family.memtable_whole_key_filtering = true;
    family.memtable_prefix_bloom_size_ratio = 0.01;  // ten bits a key when it is full of small records
  };
  const auto many_deletes = [&family] {
    // A file of which half is deletions is compacted at once: scans from the front must not wade through them.
    family.table_properties_collector_factories.push_back(
        rocksdb::NewCompactOnDeletionCollectorFactory(/*sliding_window_size=*/1024, /*deletion_trigger=*/512));
  };
  switch (access) {
    case Access::point:
      filter();
      break;
    case Access::scan:
      filter();                     // these are looked up by whole key too
      table.block_size = 16 << 10;  // a page of a list is a few reads
      break;
    case Access::large:
      table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
      // Keys are digests, so each file of the first level overlaps all of the next: as much as that level holds is
      // gathered before it is rewritten. Filters keep look-ups from the many files.
      family.write_buffer_size = options.write_buffer_bytes * 2;
      family.level0_file_num_compaction_trigger = 8;
      family.max_bytes_for_level_base = 256 << 20;
      break;
    case Access::queue:
      family.write_buffer_size = options.write_buffer_bytes / 4;  // deletions leave memory early
      many_deletes();
      break;
    case Access::log:
      table.block_size = 16 << 10;
      many_deletes();
      break;
  }
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return family;
}

class RocksView;

/// The open database. Shared by the store and its views, so that a view which a thread still keeps when the store goes
/// is harmless: closing takes its snapshot away and its reads answer `unavailable` from then on.
struct Database {
  ~Database() { close(); }
  void close();
  const rocksdb::Snapshot* take_snapshot(RocksView* view, std::list<RocksView*>::iterator& position);
  void release_snapshot(const rocksdb::Snapshot* snapshot, std::list<RocksView*>::iterator position);

  std::optional<IndexFiles> files;  ///< the database's
  std::unique_ptr<rocksdb::DB> db;
  std::shared_ptr<rocksdb::Statistics> statistics;        ///< may be null
  std::vector<rocksdb::ColumnFamilyHandle*> all_handles;  ///< owned until close(): RocksDB's default family, then ours
  std::vector<rocksdb::ColumnFamilyHandle*> families;     ///< by Family
  std::atomic<bool> open{true};
  std::mutex mutex;
  std::list<RocksView*> views;
};

class RocksCursor final : public Cursor {
 public:
  RocksCursor(Database& database, Family family, rocksdb::ReadOptions options, KeyRange range, Direction direction)
      : range_(std::move(range)), begin_(range_.begin), end_(range_.end), direction_(direction) {
    if (!range_.begin.empty()) options.iterate_lower_bound = &begin_;
    if (!range_.end.empty()) options.iterate_upper_bound = &end_;
    iterator_.reset(database.db->NewIterator(options, database.families[family]));
    if (direction_ == Direction::forward) {
      iterator_->SeekToFirst();
    } else {
      iterator_->SeekToLast();
    }
  }
  bool valid() const override { return iterator_->Valid(); }
  std::string_view key() const override { return iterator_->key().ToStringView(); }
  std::string_view value() const override { return iterator_->value().ToStringView(); }
  void next() override { direction_ == Direction::forward ? iterator_->Next() : iterator_->Prev(); }
  Result<void> status() const override {
    const Status status = iterator_->status();
    if (!status.ok()) return error_from_status(status, IndexOperation::read, "scan");
    return {};
  }

 private:
  KeyRange range_;
  rocksdb::Slice begin_;  // RocksDB keeps pointers to both
  rocksdb::Slice end_;
  Direction direction_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

/// Nothing, for a range that holds no key: RocksDB's bounds must not be crossed.
class EmptyCursor final : public Cursor {
 public:
  bool valid() const override { return false; }
  std::string_view key() const override { return {}; }
  std::string_view value() const override { return {}; }
  void next() override {}
  Result<void> status() const override { return {}; }
};

class RocksReader final : public Reader {
 public:
  RocksReader(Database& database, const rocksdb::Snapshot* snapshot, Tier tier) : database_(database) {
    options_.snapshot = snapshot;
    options_.read_tier = tier == Tier::cache_only ? rocksdb::kBlockCacheTier : rocksdb::kReadAllTier;
  }

  Result<std::optional<std::string>> get(Family family, std::string_view key) const override {
    if (!database_.open.load(std::memory_order_relaxed)) return closed_error();
    std::string value;
    rocksdb::ColumnFamilyHandle* handle = database_.families[family];
    const Status status = database_.db->Get(options_, handle, rocksdb::Slice(key), &value);
    if (status.IsNotFound()) return std::optional<std::string>();
    if (!status.ok()) return error_from_status(status, IndexOperation::read, "get");
    // RocksDB before 9.0 answers a read of the caches alone with OK and no bytes when the file is not open (its change
    // 12443). Only this call tells that from an empty value.
    if (value.empty() && options_.read_tier == rocksdb::kBlockCacheTier) {
      bool value_found = false;
      database_.db->KeyMayExist(options_, handle, rocksdb::Slice(key), &value, &value_found);
      if (!value_found) return would_block_error();
    }
    return std::optional<std::string>(std::move(value));
  }

  Result<std::vector<std::optional<std::string>>> multi_get(Family family,
                                                            std::span<const std::string> keys) const override {
    if (!database_.open.load(std::memory_order_relaxed)) return closed_error();
    std::vector<std::optional<std::string>> answers(keys.size());
    if (options_.read_tier == rocksdb::kBlockCacheTier) {
      // MultiGet reads from the disk all the same, so the caches are asked key by key.
      for (std::size_t i = 0; i < keys.size(); ++i) {
        BERTH_TRY(answers[i], get(family, keys[i]));
      }
      return answers;
    }
    if (keys.empty()) return answers;
    std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
    std::vector<rocksdb::PinnableSlice> values(keys.size());
    std::vector<Status> statuses(keys.size());
    database_.db->MultiGet(options_, database_.families[family], slices.size(), slices.data(), values.data(),
                           statuses.data());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (statuses[i].IsNotFound()) continue;
      if (!statuses[i].ok()) return error_from_status(statuses[i], IndexOperation::read, "multi-get");
      answers[i] = values[i].ToString();
    }
    return answers;
  }

  Result<std::unique_ptr<Cursor>> scan(Family family, KeyRange range, Direction direction) const override {
    if (!database_.open.load(std::memory_order_relaxed)) return closed_error();
    if (!range.end.empty() && range.end <= range.begin) {
      return std::unique_ptr<Cursor>(std::make_unique<EmptyCursor>());
    }
    auto cursor = std::make_unique<RocksCursor>(database_, family, options_, std::move(range), direction);
    if (!cursor->valid()) BERTH_CHECK(cursor->status());
    return std::unique_ptr<Cursor>(std::move(cursor));
  }

 private:
  Database& database_;
  rocksdb::ReadOptions options_;
};

class RocksView final : public View {
 public:
  RocksView(std::shared_ptr<Database> database, std::uint64_t version)
      : database_(std::move(database)),
        version_(version),
        snapshot_(database_->take_snapshot(this, position_)),
        cache_only_(*database_, snapshot_, Tier::cache_only),
        any_(*database_, snapshot_, Tier::any) {}
  ~RocksView() override { database_->release_snapshot(snapshot_, position_); }
  std::uint64_t version() const override { return version_; }
  const Reader& reader(Tier tier) const override { return tier == Tier::any ? any_ : cache_only_; }
  const rocksdb::Snapshot* snapshot() const { return snapshot_; }

 private:
  std::shared_ptr<Database> database_;
  std::uint64_t version_;
  std::list<RocksView*>::iterator position_;
  const rocksdb::Snapshot* snapshot_;
  RocksReader cache_only_;
  RocksReader any_;
};

const rocksdb::Snapshot* Database::take_snapshot(RocksView* view, std::list<RocksView*>::iterator& position) {
  const std::lock_guard lock(mutex);
  position = views.insert(views.end(), view);
  return db->GetSnapshot();
}

void Database::release_snapshot(const rocksdb::Snapshot* snapshot, std::list<RocksView*>::iterator position) {
  const std::lock_guard lock(mutex);
  if (!open) return;
  views.erase(position);
  db->ReleaseSnapshot(snapshot);
}

void Database::close() {
  const std::lock_guard lock(mutex);
  if (!open.exchange(false) || !db) return;
  for (const RocksView* view : views) db->ReleaseSnapshot(view->snapshot());
  views.clear();
  for (rocksdb::ColumnFamilyHandle* handle : all_handles) db->DestroyColumnFamilyHandle(handle);
  const Status status = db->Close();
  if (!status.ok()) spdlog::error("closing the index: {}", status.ToString());
  db.reset();
}

class RocksStore final : public Store {
 public:
  /// `probe` is of the disk that the store is on; none when it is on no disk of this machine.
  RocksStore(Schema schema, std::shared_ptr<Database> database, std::optional<DiskProbe> probe)
      : schema_(std::move(schema)), database_(std::move(database)), probe_(std::move(probe)) {
    source_ = metrics::add_source([open = database_.get()](metrics::Sink& sink) {
      read_rocksdb_metrics(*open->db, open->families, open->statistics.get(), sink);
    });
  }
  ~RocksStore() override {
    source_.reset();  // waits for a scrape that reads
    database_->close();
  }

  Result<std::shared_ptr<const View>> view() override {
    return std::shared_ptr<const View>(
        std::make_shared<RocksView>(database_, version_.load(std::memory_order_acquire)));
  }

  Result<void> write(std::span<const Write> writes) override {
    std::size_t bytes = 64;
    for (const Write& write : writes) bytes += 32 + write.key.size() + (write.value ? write.value->size() : 0);
    rocksdb::WriteBatch batch(bytes, 0, kProtectionBytesPerKey, 0);
    for (const Write& write : writes) {
      rocksdb::ColumnFamilyHandle* family = database_->families[write.family];
      const Status status = write.value ? batch.Put(family, write.key, *write.value) : batch.Delete(family, write.key);
      if (!status.ok()) return error_from_status(status, IndexOperation::write, "batch");
    }
    rocksdb::WriteOptions options;
    options.sync = true;  // acknowledged means on the disk
    options.protection_bytes_per_key = kProtectionBytesPerKey;
    const Status status = database_->db->Write(options, &batch);
    if (!status.ok()) return error_from_status(status, IndexOperation::write, "write");
    if (probe_) BERTH_CHECK(probe_->check());
    version_.fetch_add(1, std::memory_order_release);
    return {};
  }

  Result<std::uint64_t> last_log_number(Family log) override {
    BERTH_TRY(const auto newest, view());
    BERTH_TRY(const auto cursor, newest->reader(Tier::any).scan(log, {}, Direction::backward));
    if (!cursor->valid()) return std::uint64_t{0};
    if (cursor->key().size() != 8) {
      return make_error(ErrorCode::corrupt, "the index is damaged",
                        "a key of " + schema_[log].name + " is not 8 bytes long");
    }
    return read_u64(cursor->key());
  }

  const Schema& schema() const override { return schema_; }

  Result<void> flush() override {
    rocksdb::FlushOptions options;
    options.wait = true;
    options.allow_write_stall = true;  // nobody writes at an orderly stop
    Status status = database_->db->Flush(options, database_->families);
    if (!status.ok()) return error_from_status(status, IndexOperation::flush, "flush");
    return {};
  }

 private:
  Schema schema_;
  std::shared_ptr<Database> database_;
  std::optional<DiskProbe> probe_;
  std::atomic<std::uint64_t> version_{0};
  metrics::Source source_;
};

/// A gap in the numbers of a log is an acknowledged change that is gone. What a crash can lose is what was not in a
/// table file yet, so the entries that were read back from the write-ahead log are looked at, `unsaved` of them, and a
/// few before, for a fraction of a second at most.
Result<void> check_log_numbers(Store& store, Family log, std::uint64_t unsaved) {
  constexpr std::uint64_t kEntriesBefore = 1'000;
  constexpr std::uint64_t kEntriesMax = 100'000;
  constexpr auto kTimeMax = std::chrono::milliseconds(200);
  const std::uint64_t entries = std::min(kEntriesMax, unsaved + kEntriesBefore);
  const auto started = std::chrono::steady_clock::now();
  BERTH_TRY(const auto view, store.view());
  BERTH_TRY(const auto cursor, view->reader(Tier::any).scan(log, {}, Direction::backward));
  std::optional<std::uint64_t> newer;
  for (std::uint64_t seen = 0; cursor->valid() && seen < entries; cursor->next(), ++seen) {
    if (seen % 256 == 255 && std::chrono::steady_clock::now() - started > kTimeMax) return {};
    const std::string& name = store.schema()[log].name;
    if (cursor->key().size() != 8) {
      return make_error(ErrorCode::corrupt, "the index is damaged", "a key of " + name + " is not 8 bytes long");
    }
    const std::uint64_t number = read_u64(cursor->key());
    if (number == 0 || (newer && number + 1 != *newer)) {
      return make_error(ErrorCode::corrupt, "acknowledged changes are missing from the index",
                        "the numbers of " + name + " have a gap: " + std::to_string(number) + " is followed by " +
                            (newer ? std::to_string(*newer) : "none"));
    }
    newer = number;
  }
  return cursor->status();
}

bool is_lock_failure(const Status& status) { return status.ToString().find("/LOCK") != std::string::npos; }

Error locked_error(const Status& status) {
  return make_error(ErrorCode::unavailable, "the data directory is in use by another process",
                    "open: " + status.ToString());
}

/// check_wals() under the store's lock: it may cut a file, which nobody must have open.
Result<void> check_write_ahead_logs(rocksdb::Env& env, const std::string& directory) {
  rocksdb::FileLock* lock = nullptr;
  const Status locked = env.LockFile(directory + "/LOCK", &lock);
  if (!locked.ok()) {
    return is_lock_failure(locked) ? locked_error(locked) : error_from_status(locked, IndexOperation::open, "open");
  }
  auto checked = check_wals(env, directory);
  const Status unlocked = env.UnlockFile(lock);
  BERTH_CHECK(std::move(checked));
  if (!unlocked.ok()) return error_from_status(unlocked, IndexOperation::open, "open");
  return {};
}

/// Which families the store on disk has; none when there is no store yet.
Result<std::vector<std::string>> existing_families(rocksdb::Env& env, const rocksdb::DBOptions& options,
                                                   const std::string& directory) {
  const Status current = env.FileExists(directory + "/CURRENT");
  if (current.ok()) {
    std::vector<std::string> names;
    const Status status = rocksdb::DB::ListColumnFamilies(options, directory, &names);
    if (!status.ok()) return error_from_status(status, IndexOperation::open, "open");
    return names;
  }
  if (!current.IsNotFound()) return error_from_status(current, IndexOperation::open, "open");
  // RocksDB would make a new, empty store here. That is only right when no data says that there was one.
  std::vector<std::string> files;
  Status status = env.CreateDirIfMissing(directory);
  if (status.ok()) status = env.GetChildren(directory, &files);
  if (!status.ok()) return error_from_status(status, IndexOperation::open, "open");
  for (const std::string& file : files) {
    if (file.ends_with(".sst") || file.ends_with(".log")) {
      return make_error(ErrorCode::corrupt, "the index is damaged",
                        directory + " holds " + file + " but no CURRENT, the file that every store has");
    }
  }
  return std::vector<std::string>();
}

}  // namespace

Result<std::unique_ptr<Store>> open_rocksdb(Schema schema, RocksDbOptions options) {
  const std::string directory = options.directory.string();
  rocksdb::DBOptions db_options = database_options(options);

  BERTH_TRY(const auto names, existing_families(*db_options.env, db_options, directory));
  for (const std::string& name : names) {
    const auto has_name = [&name](const FamilySpec& family) { return family.name == name; };
    if (name == rocksdb::kDefaultColumnFamilyName || std::any_of(schema.begin(), schema.end(), has_name)) continue;
    return make_error(ErrorCode::unavailable, "the index was written by a newer version of berth",
                      directory + " holds the family " + name + ", which this version does not know");
  }
  if (!names.empty()) BERTH_CHECK(check_write_ahead_logs(*db_options.env, directory));

  // 2^4 shards keep reader threads apart; the lock-free cache of this release is marked experimental.
  const auto cache = rocksdb::NewLRUCache(options.block_cache_bytes, /*num_shard_bits=*/4);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  descriptors.emplace_back(rocksdb::kDefaultColumnFamilyName, family_options(Access::point, options, cache));
  for (const FamilySpec& family : schema) {
    descriptors.emplace_back(family.name, family_options(family.access, options, cache));
  }

  auto database = std::make_shared<Database>();
  database->files.emplace(*db_options.env, /*zeros_ahead=*/db_options.allow_fallocate);
  db_options.env = &database->files->env();
  rocksdb::DB* raw = nullptr;
  // A store from before gets the families that it lacks one by one, each with several syncs. A new one gets them
  // together, which is most of the time of a first start, and one sync of the manifest, after the last, serves them
  // all.
  const auto at_open = names.empty() ? std::vector(descriptors.begin(), descriptors.begin() + 1) : descriptors;
  Status status = rocksdb::DB::Open(db_options, directory, at_open, &database->all_handles, &raw);
  database->db.reset(raw);
  const auto make = [&](auto first, auto last) {
    std::vector<rocksdb::ColumnFamilyHandle*> made;  // also those before one that fails
    status = raw->CreateColumnFamilies({first, last}, &made);
    database->all_handles.insert(database->all_handles.end(), made.begin(), made.end());
  };
  if (status.ok() && at_open.size() < descriptors.size()) {
    database->files->hold_manifest(true);
    make(descriptors.begin() + 1, descriptors.end() - 1);
    database->files->hold_manifest(false);
    if (status.ok()) make(descriptors.end() - 1, descriptors.end());
  }
  database->statistics = db_options.statistics;
  if (!status.ok()) {
    return is_lock_failure(status) ? locked_error(status) : error_from_status(status, IndexOperation::open, "open");
  }
  database->families.assign(database->all_handles.begin() + 1, database->all_handles.end());

  std::optional<DiskProbe> probe;
  if (options.env == nullptr) {
    BERTH_TRY(probe, DiskProbe::open(options.directory / "CURRENT"));
  }
  std::unique_ptr<Store> store = std::make_unique<RocksStore>(std::move(schema), database, std::move(probe));
  for (std::size_t family = 0; family < store->schema().size(); ++family) {
    if (store->schema()[family].access != Access::log) continue;
    std::uint64_t unsaved = 0;
    database->db->GetIntProperty(database->families[family], rocksdb::DB::Properties::kNumEntriesActiveMemTable,
                                 &unsaved);
    BERTH_CHECK(check_log_numbers(*store, static_cast<Family>(family), unsaved));
  }
  return store;
}

std::string rocksdb_version() { return rocksdb::GetRocksVersionAsString(); }

}  // namespace berth::kv
