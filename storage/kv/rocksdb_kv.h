// The RocksDB engine. Each record family of the schema is a column family; every write is one WriteBatch with one WAL
// sync. Options, each with its reason, stand in one function of the .cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "storage/kv/kv.h"

namespace rocksdb {
class Env;
}

namespace berth::kv {

/// Of the library that runs: "7.8.3".
std::string rocksdb_version();

struct RocksDbOptions {
  std::filesystem::path directory;
  std::size_t block_cache_bytes = 64 << 20;
  std::size_t wal_bytes_max = 64 << 20;      ///< bounds recovery
  std::size_t write_buffer_bytes = 8 << 20;  ///< per family
  int open_files_max = 512;
  bool statistics = true;                    ///< tickers and histograms for a scrape, see rocksdb_metrics.h
  rocksdb::Env* env = nullptr;  ///< tests put a faulty file system under it; not owned
  /// RocksDB went to read-only by itself (a background error): readiness and the log want to know. Any thread.
  std::function<void(std::string reason)> on_background_error;
};

/// Opens or creates. Checks that the numbers of every log family have no gap near their end (a WAL block that was
/// zeroed is skipped by RocksDB without a word). Errors: corrupt, io_error, unavailable (held by another process).
Result<std::unique_ptr<Store>> open_rocksdb(Schema schema, RocksDbOptions options);

}  // namespace berth::kv
