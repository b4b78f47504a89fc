// The engines that the contract suite runs against.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "storage/kv/memory_kv.h"
#include "storage/kv/rocksdb_kv.h"

namespace berth::kv {

/// A folder of its own, gone with its object.
class TempDirectory {
 public:
  TempDirectory() {
    // In memory where there is such a place: what a sync is for is tested by a file system that forgets (FaultyEnv).
    const std::filesystem::path memory = "/dev/shm";
    const bool has_memory = access(memory.c_str(), W_OK) == 0;
    std::string path = ((has_memory ? memory : std::filesystem::temp_directory_path()) / "berth-kv-XXXXXX").string();
    REQUIRE(mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Engine {
  const char* name;
  std::unique_ptr<Store> (*open)(const Schema& schema, const std::filesystem::path& directory);
};

inline std::unique_ptr<Store> open_rocksdb_engine(const Schema& schema, const std::filesystem::path& directory) {
  RocksDbOptions options;
  options.directory = directory;
  options.block_cache_bytes = 4 << 20;
  auto store = open_rocksdb(schema, options);
  if (!store) FAIL(store.error().message << ": " << store.error().log_detail);
  return *std::move(store);
}

inline const Engine kEngines[] = {
    {"memory", [](const Schema& schema, const std::filesystem::path&) { return make_memory_store(schema); }},
    {"rocksdb", open_rocksdb_engine},
};

}  // namespace berth::kv
