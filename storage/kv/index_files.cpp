#include "storage/kv/index_files.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
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

class Manifest final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  Manifest(std::unique_ptr<rocksdb::FSWritableFile> inner, std::shared_ptr<const std::atomic<bool>> held)
      : FSWritableFileOwnerWrapper(std::move(inner)), held_(std::move(held)) {}
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return held_->load(std::memory_order_relaxed) ? IOStatus::OK() : target()->Sync(options, debug);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return held_->load(std::memory_order_relaxed) ? IOStatus::OK() : target()->Fsync(options, debug);
  }

 private:
  const std::shared_ptr<const std::atomic<bool>> held_;
};

}  // namespace

class IndexFiles::Files final : public rocksdb::FileSystemWrapper {
 public:
  Files(const std::shared_ptr<rocksdb::FileSystem>& inner, bool zeros_ahead)
      : FileSystemWrapper(inner), zeros_ahead_(zeros_ahead) {}
  const char* Name() const override { return "IndexFiles"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) override {
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    if (name.starts_with("OPTIONS-")) return IOStatus::NotSupported(std::string(kNoOptionsRecord));
    auto status = target()->NewWritableFile(path, options, file, debug);
    if (!status.ok()) return status;
    if (zeros_ahead_ && name.ends_with(".log")) *file = std::make_unique<ZeroedLog>(std::move(*file));
    if (name.starts_with("MANIFEST-") && !manifest_held->load(std::memory_order_relaxed))
      *file = std::make_unique<Manifest>(std::move(*file), manifest_held);
    return status;
  }

  const std::shared_ptr<std::atomic<bool>> manifest_held = std::make_shared<std::atomic<bool>>(false);

 private:
  const bool zeros_ahead_;
};

IndexFiles::IndexFiles(rocksdb::Env& inner, bool zeros_ahead)
    : files_(std::make_shared<Files>(inner.GetFileSystem(), zeros_ahead)), env_(rocksdb::NewCompositeEnv(files_)) {}

IndexFiles::~IndexFiles() = default;

void IndexFiles::hold_manifest(bool held) { files_->manifest_held->store(held, std::memory_order_relaxed); }

}  // namespace berth::kv
