#include "storage/kv/rocksdb_peek.h"

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>

#include <algorithm>
#include <cstdarg>
#include <memory>

namespace berth::kv {
namespace {

using rocksdb::Status;

/// RocksDB would write one of its own into the directory.
class NoLog final : public rocksdb::Logger {
 public:
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

Error failed(const Status& status) {
  const auto code = status.IsCorruption() ? ErrorCode::corrupt : ErrorCode::io_error;
  return make_error(code, "the index could not be read: " + status.ToString());
}

}  // namespace

Result<Peek> peek_rocksdb(const std::filesystem::path& directory, const std::string& family, std::string_view key) {
  rocksdb::DBOptions options;
  options.info_log = std::make_shared<NoLog>();
  options.max_open_files = 64;
  options.max_file_opening_threads = 1;
  options.skip_stats_update_on_db_open = true;
  Peek peek;
  Status status = rocksdb::DB::ListColumnFamilies(options, directory.string(), &peek.families);
  if (!status.ok()) return failed(status);
  if (std::find(peek.families.begin(), peek.families.end(), family) == peek.families.end()) return peek;

  const std::vector<rocksdb::ColumnFamilyDescriptor> wanted = {
      {rocksdb::kDefaultColumnFamilyName, rocksdb::ColumnFamilyOptions()}, {family, rocksdb::ColumnFamilyOptions()}};
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  status = rocksdb::DB::OpenForReadOnly(options, directory.string(), wanted, &handles, &raw);
  const std::unique_ptr<rocksdb::DB> db(raw);
  if (!status.ok()) return failed(status);
  std::string value;
  status = db->Get(rocksdb::ReadOptions(), handles[1], rocksdb::Slice(key.data(), key.size()), &value);
  for (rocksdb::ColumnFamilyHandle* handle : handles) db->DestroyColumnFamilyHandle(handle);
  if (status.ok()) peek.value = std::move(value);
  if (!status.ok() && !status.IsNotFound()) return failed(status);
  return peek;
}

}  // namespace berth::kv
