// Every system call that blob storage makes, so that tests can fail each in turn. Paths are absolute or relative to the
// working directory; all calls block and belong on the disk pool.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace berth::storage {

/// An open file descriptor, closed on destruction.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct SpaceInfo {
  std::uint64_t size_bytes = 0;
  std::uint64_t free_bytes = 0;  ///< for unprivileged processes
  std::uint64_t free_inodes = 0;  ///< the largest value where the file system does not count them
};

/// What direct writes are aligned to, in the file and in memory: no disk asks for more than a page.
inline constexpr std::uint64_t kDirectAlignment = 4096;

enum class OpenMode : std::uint8_t { read, read_write, create_new };  ///< create_new fails when the file exists

/// Errors: io_error, storage_full (ENOSPC, EDQUOT), unavailable (out of descriptors or memory); a missing file is
/// `io_error` from every call but exists(). New files are 0600, new directories 0700. Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<Fd> open(const std::string& path, OpenMode mode) = 0;
  virtual Result<void> write_at(int fd, Bytes bytes, std::uint64_t offset) = 0;  ///< all of it
  /// An existing file, for write_direct() alone. Empty when this file system has no such thing.
  virtual Result<std::optional<Fd>> open_direct(const std::string& path) = 0;
  /// All of it, past the page cache; place, size and memory are aligned. False, and maybe some of it written,
  /// when this file system will not have it like that.
  virtual Result<bool> write_direct(int fd, Bytes bytes, std::uint64_t offset) = 0;
  virtual Result<std::size_t> read_at(int fd, std::span<std::byte> out, std::uint64_t offset) = 0;  ///< short at the end
  virtual Result<void> truncate(int fd, std::uint64_t size) = 0;
  virtual Result<void> allocate(int fd, std::uint64_t size) = 0;  ///< posix_fallocate; used for the ballast
  /// Asks the kernel to start writing [offset, offset+size) back. A hint: failures are ignored.
  virtual void start_writeback(int fd, std::uint64_t offset, std::uint64_t size) = 0;
  virtual Result<void> sync_data(int fd) = 0;
  virtual Result<void> sync_directory(const std::string& path) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;  ///< removing what is not there succeeds
  virtual Result<void> make_directory(const std::string& path) = 0;  ///< succeeds when it is there; makes one level
  virtual Result<bool> exists(const std::string& path) = 0;
  virtual Result<std::uint64_t> file_size(int fd) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  ///< names, unordered, no dots
  virtual Result<SpaceInfo> space(const std::string& path) = 0;
};

/// The real one.
FileSystem& posix_file_system();

/// errno as an Error: the one place where it is translated.
Error error_from_errno(int error_number, const std::string& what);

}  // namespace berth::storage
