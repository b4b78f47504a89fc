#include "storage/kv/rocksdb_metrics.h"

#include <rocksdb/db.h>
#include <rocksdb/statistics.h>

#include <array>
#include <charconv>
#include <string_view>

namespace berth::kv {
namespace {

using rocksdb::DB;

constexpr double kMicrosASecond = 1e6;

struct Property {
  const std::string& property;  ///< RocksDB's name for it
  std::string_view name;
  std::string_view help;
};

/// Of one family each.
const Property kOfFamily[] = {
    {DB::Properties::kEstimateNumKeys, "rocksdb_estimate_num_keys", "Keys, roughly."},
    {DB::Properties::kLiveSstFilesSize, "rocksdb_live_sst_files_size_bytes", "Table files of the newest state."},
    {DB::Properties::kTotalSstFilesSize, "rocksdb_total_sst_files_size_bytes",
     "Table files, those included that only an old state still needs."},
    {DB::Properties::kCurSizeAllMemTables, "rocksdb_cur_size_all_mem_tables_bytes",
     "Memory for what is not in table files yet."},
    {DB::Properties::kEstimateTableReadersMem, "rocksdb_estimate_table_readers_mem_bytes",
     "Memory for reading tables, without the block cache."},
    {DB::Properties::kEstimatePendingCompactionBytes, "rocksdb_estimate_pending_compaction_bytes",
     "What compaction has yet to rewrite, roughly."},
    {DB::Properties::kBackgroundErrors, "rocksdb_background_errors", "Background errors since the start."},
};

/// Of the database, whichever family is asked.
const Property kOfAll[] = {
    {DB::Properties::kBlockCacheUsage, "rocksdb_block_cache_usage_bytes", "Blocks in the cache."},
    {DB::Properties::kBlockCachePinnedUsage, "rocksdb_block_cache_pinned_usage_bytes",
     "Blocks in the cache that are being used."},
    {DB::Properties::kBlockCacheCapacity, "rocksdb_block_cache_capacity_bytes", "Room in the block cache."},
    {DB::Properties::kActualDelayedWriteRate, "rocksdb_actual_delayed_write_rate",
     "Bytes a second that writes are slowed to; 0 when they are not."},
    {DB::Properties::kIsWriteStopped, "rocksdb_is_write_stopped", "1 while writes wait for compaction."},
    {DB::Properties::kNumRunningCompactions, "rocksdb_num_running_compactions", "Compactions at work."},
    {DB::Properties::kNumRunningFlushes, "rocksdb_num_running_flushes", "Flushes at work."},
    {DB::Properties::kNumSnapshots, "rocksdb_num_snapshots", "States that somebody still reads."},
    {DB::Properties::kOldestSnapshotTime, "rocksdb_oldest_snapshot_timestamp_seconds",
     "When the oldest of those was taken; 0 when there is none."},
};

struct TickerRow {
  rocksdb::Tickers ticker;
  std::string_view name;
  std::string_view help;
  double unit = 1;
};
const TickerRow kTickers[] = {
    {rocksdb::BLOOM_FILTER_USEFUL, "rocksdb_bloom_filter_useful_total", "Reads of a table that a filter saved."},
    {rocksdb::BYTES_READ, "rocksdb_read_bytes_total", "Bytes of values that look-ups gave."},
    {rocksdb::BYTES_WRITTEN, "rocksdb_written_bytes_total", "Bytes of changes written."},
    {rocksdb::WAL_FILE_BYTES, "rocksdb_wal_file_bytes_total", "Bytes written to the log."},
    {rocksdb::WAL_FILE_SYNCED, "rocksdb_wal_file_synced_total", "Syncs of the log."},
    {rocksdb::STALL_MICROS, "rocksdb_stall_seconds_total", "Time that writes waited for compaction or flush.",
     1 / kMicrosASecond},
    {rocksdb::COMPACT_READ_BYTES, "rocksdb_compact_read_bytes_total", "Bytes read by compaction."},
    {rocksdb::COMPACT_WRITE_BYTES, "rocksdb_compact_write_bytes_total", "Bytes written by compaction."},
    {rocksdb::FLUSH_WRITE_BYTES, "rocksdb_flush_write_bytes_total", "Bytes written by flushes."},
    {rocksdb::ERROR_HANDLER_BG_ERROR_COUNT, "rocksdb_error_handler_bg_errors_total",
     "Background errors that RocksDB dealt with."},
    {rocksdb::NO_FILE_ERRORS, "rocksdb_no_file_errors_total", "Files that could not be opened."},
};

struct CacheRow {
  std::string_view block;
  rocksdb::Tickers hits;
  rocksdb::Tickers misses;
};
const CacheRow kCaches[] = {
    {"data", rocksdb::BLOCK_CACHE_DATA_HIT, rocksdb::BLOCK_CACHE_DATA_MISS},
    {"index", rocksdb::BLOCK_CACHE_INDEX_HIT, rocksdb::BLOCK_CACHE_INDEX_MISS},
    {"filter", rocksdb::BLOCK_CACHE_FILTER_HIT, rocksdb::BLOCK_CACHE_FILTER_MISS},
};

struct HistogramRow {
  rocksdb::Histograms histogram;
  std::string_view name;
  std::string_view help;
};
const HistogramRow kHistograms[] = {
    {rocksdb::DB_GET, "rocksdb_db_get_seconds", "How long look-ups took."},
    {rocksdb::DB_SEEK, "rocksdb_db_seek_seconds", "How long the first step of scans took."},
    {rocksdb::DB_WRITE, "rocksdb_db_write_seconds", "How long writes took, with their sync."},
    {rocksdb::WAL_FILE_SYNC_MICROS, "rocksdb_wal_file_sync_seconds", "How long syncs of the log took."},
    {rocksdb::WRITE_STALL, "rocksdb_write_stall_seconds", "How long writes waited for compaction or flush."},
};

void read_levels(DB& db, rocksdb::ColumnFamilyHandle* family, metrics::Sink& sink) {
  const int levels = db.NumberLevels(family);
  for (int level = 0; level < levels; ++level) {
    const std::string number = std::to_string(level);
    std::string text;
    if (!db.GetProperty(family, DB::Properties::kNumFilesAtLevelPrefix + number, &text)) continue;
    int files = 0;
    std::from_chars(text.data(), text.data() + text.size(), files);
    sink.gauge("rocksdb_num_files_at_level", "Table files of a level.", {{"cf", family->GetName()}, {"level", number}},
               files);
  }
}

void read_tickers(const rocksdb::Statistics& statistics, metrics::Sink& sink) {
  for (const TickerRow& row : kTickers) {
    sink.counter(row.name, row.help, {}, static_cast<double>(statistics.getTickerCount(row.ticker)) * row.unit);
  }
  for (const CacheRow& row : kCaches) {
    const auto count = [&](std::string_view result, rocksdb::Tickers ticker) {
      sink.counter("rocksdb_block_cache_requests_total", "Look-ups in the block cache.",
                   {{"block", row.block}, {"result", result}}, static_cast<double>(statistics.getTickerCount(ticker)));
    };
    count("hit", row.hits);
    count("miss", row.misses);
  }
}

void read_histograms(const rocksdb::Statistics& statistics, metrics::Sink& sink) {
  for (const HistogramRow& row : kHistograms) {
    rocksdb::HistogramData data{};
    statistics.histogramData(row.histogram, &data);
    const std::array<metrics::Quantile, 3> quantiles = {{{0.5, data.median / kMicrosASecond},
                                                         {0.95, data.percentile95 / kMicrosASecond},
                                                         {0.99, data.percentile99 / kMicrosASecond}}};
    sink.summary(row.name, row.help, {}, quantiles, data.count, static_cast<double>(data.sum) / kMicrosASecond);
  }
}

}  // namespace

std::shared_ptr<rocksdb::Statistics> make_rocksdb_statistics() {
  std::shared_ptr<rocksdb::Statistics> statistics = rocksdb::CreateDBStatistics();
  statistics->set_stats_level(rocksdb::StatsLevel::kExceptDetailedTimers);
  return statistics;
}

void read_rocksdb_metrics(DB& db, const std::vector<rocksdb::ColumnFamilyHandle*>& families,
                          const rocksdb::Statistics* statistics, metrics::Sink& sink) {
  std::uint64_t value = 0;
  for (rocksdb::ColumnFamilyHandle* family : families) {
    for (const Property& row : kOfFamily) {
      if (!db.GetIntProperty(family, row.property, &value)) continue;
      sink.gauge(row.name, row.help, {{"cf", family->GetName()}}, static_cast<double>(value));
    }
    read_levels(db, family, sink);
  }
  for (const Property& row : kOfAll) {
    if (families.empty() || !db.GetIntProperty(families.front(), row.property, &value)) continue;
    sink.gauge(row.name, row.help, {}, static_cast<double>(value));
  }
  if (statistics == nullptr) return;
  read_tickers(*statistics, sink);
  read_histograms(*statistics, sink);
}

}  // namespace berth::kv
