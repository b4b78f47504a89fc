#include "storage/measured_file_system.h"

#include <array>
#include <chrono>

#include "base/metrics.h"

namespace berth::storage {
namespace {

enum class Operation : std::uint8_t {
  open,
  read,
  write,
  write_direct,
  writeback,
  truncate,
  allocate,
  fsync,
  fsync_directory,
  rename,
  unlink,
  mkdir,
  stat,
  list,
  statvfs,
};
constexpr std::size_t kOperations = 15;

std::string_view name_of(Operation operation) {
  static constexpr std::array<std::string_view, kOperations> kNames = {
      "open",  "read",   "write",  "write_direct", "writeback", "truncate", "allocate", "fsync", "fsync_directory",
      "rename", "unlink", "mkdir", "stat",         "list",      "statvfs"};
  return kNames[static_cast<std::size_t>(operation)];
}

/// What holds the blobs. The index' engine has histograms of its own and counts here only its errors.
enum class Driver : std::uint8_t { filesystem };
std::string_view driver_name(Driver) { return "filesystem"; }
enum class Engine : std::uint8_t { rocksdb };
std::string_view engine_name(Engine) { return "rocksdb"; }
constexpr std::size_t kIndexOperations = 4;
std::string_view index_name(IndexOperation operation) {
  static constexpr std::array<std::string_view, kIndexOperations> kNames = {"open", "read", "write", "flush"};
  return kNames[static_cast<std::size_t>(operation)];
}

/// From a look at the page cache to a disk in trouble.
constexpr std::array kBuckets = {0.00001, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                 0.025,   0.05,   0.1,    0.25,  1.0,    5.0,   30.0};

const metrics::Family<metrics::Histogram>& seconds_family() {
  static const metrics::Family<metrics::Histogram> family(
      "storage_operation_seconds", "How long calls of the file system took that holds blobs and uploads.", kBuckets,
      {"driver", "operation"});
  return family;
}
const metrics::Family<metrics::Counter>& errors_family() {
  static const metrics::Family<metrics::Counter> family(
      "storage_errors_total", "Calls of the file system, or of the engine under the index, that failed.",
      {"driver", "operation"});
  return family;
}

struct Series {
  metrics::EnumGrid<metrics::Histogram, Driver, 1, Operation, kOperations> seconds{seconds_family(), driver_name,
                                                                                   name_of};
  metrics::EnumGrid<metrics::Counter, Driver, 1, Operation, kOperations> errors{errors_family(), driver_name, name_of};
  metrics::EnumGrid<metrics::Counter, Engine, 1, IndexOperation, kIndexOperations> index_errors{
      errors_family(), engine_name, index_name};
};
const Series& series() {
  static const Series all;
  return all;
}

/// Times one call; asks what came of it.
template <class Call>
auto timed(Operation operation, Call call) {
  const auto begin = std::chrono::steady_clock::now();
  auto answer = call();
  series().seconds(Driver::filesystem, operation).observe(std::chrono::steady_clock::now() - begin);
  if (!answer.has_value()) series().errors(Driver::filesystem, operation).add();
  return answer;
}

}  // namespace

MeasuredFileSystem::MeasuredFileSystem(FileSystem& inner) : inner_(inner) {
  series();  // all at 0 before the first call
}

Result<Fd> MeasuredFileSystem::open(const std::string& path, OpenMode mode) {
  return timed(Operation::open, [&] { return inner_.open(path, mode); });
}
Result<void> MeasuredFileSystem::write_at(int fd, Bytes bytes, std::uint64_t offset) {
  return timed(Operation::write, [&] { return inner_.write_at(fd, bytes, offset); });
}
Result<std::optional<Fd>> MeasuredFileSystem::open_direct(const std::string& path) {
  return timed(Operation::open, [&] { return inner_.open_direct(path); });
}
Result<bool> MeasuredFileSystem::write_direct(int fd, Bytes bytes, std::uint64_t offset) {
  return timed(Operation::write_direct, [&] { return inner_.write_direct(fd, bytes, offset); });
}
Result<std::size_t> MeasuredFileSystem::read_at(int fd, std::span<std::byte> out, std::uint64_t offset) {
  return timed(Operation::read, [&] { return inner_.read_at(fd, out, offset); });
}
Result<void> MeasuredFileSystem::truncate(int fd, std::uint64_t size) {
  return timed(Operation::truncate, [&] { return inner_.truncate(fd, size); });
}
Result<void> MeasuredFileSystem::allocate(int fd, std::uint64_t size) {
  return timed(Operation::allocate, [&] { return inner_.allocate(fd, size); });
}
void MeasuredFileSystem::start_writeback(int fd, std::uint64_t offset, std::uint64_t size) {
  // A hint without an answer; how long it holds the caller is worth knowing all the same.
  ignore(timed(Operation::writeback, [&]() -> Result<void> {
    inner_.start_writeback(fd, offset, size);
    return {};
  }));
}
Result<void> MeasuredFileSystem::sync_data(int fd) {
  return timed(Operation::fsync, [&] { return inner_.sync_data(fd); });
}
Result<void> MeasuredFileSystem::sync_directory(const std::string& path) {
  return timed(Operation::fsync_directory, [&] { return inner_.sync_directory(path); });
}
Result<void> MeasuredFileSystem::rename(const std::string& from, const std::string& to) {
  return timed(Operation::rename, [&] { return inner_.rename(from, to); });
}
Result<void> MeasuredFileSystem::remove(const std::string& path) {
  return timed(Operation::unlink, [&] { return inner_.remove(path); });
}
Result<void> MeasuredFileSystem::make_directory(const std::string& path) {
  return timed(Operation::mkdir, [&] { return inner_.make_directory(path); });
}
Result<bool> MeasuredFileSystem::exists(const std::string& path) {
  return timed(Operation::stat, [&] { return inner_.exists(path); });
}
Result<std::uint64_t> MeasuredFileSystem::file_size(int fd) {
  return timed(Operation::stat, [&] { return inner_.file_size(fd); });
}
Result<std::vector<std::string>> MeasuredFileSystem::list(const std::string& directory) {
  return timed(Operation::list, [&] { return inner_.list(directory); });
}
Result<SpaceInfo> MeasuredFileSystem::space(const std::string& path) {
  return timed(Operation::statvfs, [&] { return inner_.space(path); });
}

FileSystem& measured_file_system() {
  static MeasuredFileSystem files(posix_file_system());
  return files;
}

void count_index_error(IndexOperation operation) { series().index_errors(Engine::rocksdb, operation).add(); }

}  // namespace berth::storage
