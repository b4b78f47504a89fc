// A look into a store that another process may have open: it takes no lock and changes nothing.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::kv {

struct Peek {
  std::vector<std::string> families;  ///< all that the store has, RocksDB's own `default` among them
  std::optional<std::string> value;   ///< nothing: no such key, or no such family
};

/// What stands under one key. Reads the store's write-ahead log into memory (some 64 MiB at most). Blocks. Errors:
/// io_error (also when the process that has it open takes a file away just then), corrupt.
Result<Peek> peek_rocksdb(const std::filesystem::path& directory, const std::string& family, std::string_view key);

}  // namespace berth::kv
