#include "storage/kv/zeroed_logs.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>

namespace berth::kv {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/// Some six batches of small changes. To write much more at once costs more than it saves.
constexpr std::array<char, 64 << 10> kZeros{};

class ZeroedLog final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  explicit ZeroedLog(std::unique_ptr<rocksdb::FSWritableFile> inner) : FSWritableFileOwnerWrapper(std::move(inner)) {}

  // By position, always: a plain append goes behind the zeros.
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    auto written = target()->PositionedAppend(data, size_, options, debug);
    return written.ok() ? appended(data.size(), options, debug) : written;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo& checksum,
                  IODebugContext* debug) override {
    auto written = target()->PositionedAppend(data, size_, options, checksum, debug);
    return written.ok() ? appended(data.size(), options, debug) : written;
  }

  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    auto cut = end_ > size_ ? target()->Truncate(size_, options, debug) : IOStatus::OK();
    auto closed = target()->Close(options, debug);
    return cut.ok() ? closed : cut;
  }

 private:
  IOStatus appended(std::uint64_t bytes, const IOOptions& options, IODebugContext* debug) {
    size_ += bytes;
    if (size_ <= end_) return IOStatus::OK();
    end_ = size_;
    auto written = target()->PositionedAppend(Slice(kZeros.data(), kZeros.size()), size_, options, debug);
    if (written.ok()) end_ += kZeros.size();
    return written.IsNoSpace() ? IOStatus::OK() : written;  // what counts had room
  }

  std::uint64_t size_ = 0;  ///< of the log
  std::uint64_t end_ = 0;   ///< of the zeros behind it
};

class Files final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "ZeroedLogs"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) override {
    auto status = target()->NewWritableFile(path, options, file, debug);
    if (status.ok() && path.ends_with(".log")) *file = std::make_unique<ZeroedLog>(std::move(*file));
    return status;
  }
};

}  // namespace

std::unique_ptr<rocksdb::Env> zeroed_logs(rocksdb::Env& inner) {
  return rocksdb::NewCompositeEnv(std::make_shared<Files>(inner.GetFileSystem()));
}

}  // namespace berth::kv
