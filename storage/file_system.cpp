#include "storage/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <memory>
#include <system_error>

namespace berth::storage {
namespace {

constexpr mode_t kFileMode = 0600;       // images may be private: nobody but the server's user reads them
constexpr mode_t kDirectoryMode = 0700;

/// Calls again while a signal interrupts.
template <class Call>
auto retry(Call call) {
  while (true) {
    auto answer = call();
    if (answer >= 0 || errno != EINTR) return answer;
  }
}

Error last_error(std::string what) { return error_from_errno(errno, what); }

class PosixFileSystem final : public FileSystem {
 public:
  Result<Fd> open(const std::string& path, OpenMode mode) override {
    // The data directory is ours alone: a symbolic link in place of a file is a mistake or an attack.
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
    switch (mode) {
      case OpenMode::read: flags |= O_RDONLY; break;
      case OpenMode::read_write: flags |= O_RDWR; break;
      case OpenMode::create_new: flags |= O_RDWR | O_CREAT | O_EXCL; break;
    }
    const int fd = retry([&] { return ::open(path.c_str(), flags, kFileMode); });
    if (fd < 0) return last_error("open " + path);
    return Fd(fd);
  }

  Result<void> write_at(int fd, Bytes bytes, std::uint64_t offset) override {
    while (!bytes.empty()) {
      const ssize_t done =
          retry([&] { return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (done < 0) return last_error("pwrite");
      if (done == 0) return error_from_errno(EIO, "pwrite wrote nothing");
      bytes = bytes.subspan(static_cast<std::size_t>(done));
      offset += static_cast<std::uint64_t>(done);
    }
    return {};
  }

  Result<std::optional<Fd>> open_direct(const std::string& path) override {
    const int fd = retry([&] { return ::open(path.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY); });
    if (fd >= 0) return std::optional(Fd(fd));
    if (errno == EINVAL || errno == EOPNOTSUPP) return std::optional<Fd>();
    return last_error("open " + path);
  }

  Result<bool> write_direct(int fd, Bytes bytes, std::uint64_t offset) override {
    while (!bytes.empty()) {
      const ssize_t done =
          retry([&] { return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (done < 0 && errno == EINVAL) return false;
      if (done < 0) return last_error("pwrite");
      // A short write ends where the space does, anywhere: the next one must begin at a whole block.
      const auto whole = static_cast<std::size_t>(done) / kDirectAlignment * kDirectAlignment;
      if (whole == 0) return error_from_errno(ENOSPC, "pwrite wrote nothing");
      bytes = bytes.subspan(whole);
      offset += whole;
    }
    return true;
  }

  Result<std::size_t> read_at(int fd, std::span<std::byte> out, std::uint64_t offset) override {
    std::size_t total = 0;
    while (total < out.size()) {
      const ssize_t done = retry([&] {
        return ::pread(fd, out.data() + total, out.size() - total, static_cast<off_t>(offset + total));
      });
      if (done < 0) return last_error("pread");
      if (done == 0) break;
      total += static_cast<std::size_t>(done);
    }
    return total;
  }

  Result<void> truncate(int fd, std::uint64_t size) override {
    if (retry([&] { return ::ftruncate(fd, static_cast<off_t>(size)); }) < 0) return last_error("ftruncate");
    return {};
  }

  Result<void> allocate(int fd, std::uint64_t size) override {
    int failure = 0;
    do {
      failure = ::posix_fallocate(fd, 0, static_cast<off_t>(size));  // answers the error, leaves errno alone
    } while (failure == EINTR);
    if (failure != 0) return error_from_errno(failure, "posix_fallocate");
    return {};
  }

  void start_writeback(int fd, std::uint64_t offset, std::uint64_t size) override {
    // Without the WAIT flags an error stays with the file, where the fdatasync to come finds it.
    ::sync_file_range(fd, static_cast<off64_t>(offset), static_cast<off64_t>(size), SYNC_FILE_RANGE_WRITE);
  }

  Result<void> sync_data(int fd) override {
    if (retry([&] { return ::fdatasync(fd); }) < 0) return last_error("fdatasync");
    return {};
  }

  Result<void> sync_directory(const std::string& path) override {
    Fd directory(retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!directory) return last_error("open directory " + path);
    if (retry([&] { return ::fsync(directory.get()); }) < 0) return last_error("fsync directory " + path);
    return {};
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) < 0) return last_error("rename " + from + " to " + to);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::unlink(path.c_str()) < 0 && errno != ENOENT) return last_error("unlink " + path);
    return {};
  }

  Result<void> make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), kDirectoryMode) == 0) return {};
    if (errno != EEXIST) return last_error("mkdir " + path);
    struct stat info {};
    if (::stat(path.c_str(), &info) < 0) return last_error("stat " + path);
    if (!S_ISDIR(info.st_mode)) return error_from_errno(ENOTDIR, "mkdir " + path);
    return {};
  }

  Result<bool> exists(const std::string& path) override {
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0) return true;
    if (errno == ENOENT) return false;
    return last_error("lstat " + path);
  }

  Result<std::uint64_t> file_size(int fd) override {
    struct stat info {};
    if (::fstat(fd, &info) < 0) return last_error("fstat");
    return static_cast<std::uint64_t>(info.st_size);
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    struct Close {
      void operator()(DIR* stream) const { ::closedir(stream); }
    };
    const std::unique_ptr<DIR, Close> stream(::opendir(directory.c_str()));
    if (!stream) return last_error("opendir " + directory);
    std::vector<std::string> names;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(stream.get());
      if (entry == nullptr) break;
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    if (errno != 0) return last_error("readdir " + directory);
    return names;
  }

  Result<SpaceInfo> space(const std::string& path) override {
    struct statvfs info {};
    if (retry([&] { return ::statvfs(path.c_str(), &info); }) < 0) return last_error("statvfs " + path);
    SpaceInfo space;
    space.size_bytes = std::uint64_t{info.f_blocks} * info.f_frsize;
    space.free_bytes = std::uint64_t{info.f_bavail} * info.f_frsize;
    space.free_inodes = info.f_files == 0 ? std::numeric_limits<std::uint64_t>::max() : std::uint64_t{info.f_favail};
    return space;
  }
};

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

Fd::~Fd() {
  // Never repeated on EINTR: Linux has let the descriptor go by then, and its number may be somebody else's. Errors of
  // writing are asked for by fdatasync, not here.
  if (fd_ >= 0) ::close(fd_);
}

FileSystem& posix_file_system() {
  static PosixFileSystem files;
  return files;
}

Error error_from_errno(int error_number, const std::string& what) {
  std::string detail = what + ": " + std::generic_category().message(error_number);
  switch (error_number) {
    case ENOSPC:
    case EDQUOT: return make_error(ErrorCode::storage_full, "the server's disk is full", std::move(detail));
    case EMFILE:
    case ENFILE:
    case ENOMEM: return make_error(ErrorCode::unavailable, "the server is short of resources", std::move(detail));
    default: return make_error(ErrorCode::io_error, "the server's disk failed", std::move(detail));
  }
}

}  // namespace berth::storage
