// A file system whose calls are timed and whose failures are counted: `storage_operation_seconds` and
// `storage_errors_total`.
#pragma once

#include "storage/file_system.h"

namespace berth::storage {

/// Passes every call on to `inner`, which outlives it. Thread-safe.
class MeasuredFileSystem final : public FileSystem {
 public:
  explicit MeasuredFileSystem(FileSystem& inner);

  Result<Fd> open(const std::string& path, OpenMode mode) override;
  Result<void> write_at(int fd, Bytes bytes, std::uint64_t offset) override;
  Result<std::optional<Fd>> open_direct(const std::string& path) override;
  Result<bool> write_direct(int fd, Bytes bytes, std::uint64_t offset) override;
  Result<std::size_t> read_at(int fd, std::span<std::byte> out, std::uint64_t offset) override;
  Result<void> truncate(int fd, std::uint64_t size) override;
  Result<void> allocate(int fd, std::uint64_t size) override;
  void start_writeback(int fd, std::uint64_t offset, std::uint64_t size) override;
  Result<void> sync_data(int fd) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> make_directory(const std::string& path) override;
  Result<bool> exists(const std::string& path) override;
  Result<std::uint64_t> file_size(int fd) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<SpaceInfo> space(const std::string& path) override;

 private:
  FileSystem& inner_;
};

/// The real one, measured: what a server stores with.
FileSystem& measured_file_system();

/// The index' engine failed at this: `storage_errors_total{driver="rocksdb"}`.
enum class IndexOperation : std::uint8_t { open, read, write, flush };
void count_index_error(IndexOperation operation);

}  // namespace berth::storage
