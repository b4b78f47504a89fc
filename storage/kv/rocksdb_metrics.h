// What RocksDB says about itself, for a scrape: `rocksdb_…`. Read when somebody asks, nothing is kept.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class Statistics;
}  // namespace rocksdb

namespace berth::kv {

/// Counters and timings of everything but waits for RocksDB's own mutex and (de)compression. About 0.5 MiB: a copy for
/// each core, eight at least.
std::shared_ptr<rocksdb::Statistics> make_rocksdb_statistics();

/// Puts properties, tickers and histograms into `sink`; label `cf` is a family's name. `statistics` may be null. Takes
/// the database's mutex for moments, reads no file.
void read_rocksdb_metrics(rocksdb::DB& db, const std::vector<rocksdb::ColumnFamilyHandle*>& families,
                          const rocksdb::Statistics* statistics, metrics::Sink& sink);

}  // namespace berth::kv
