#include "server/data_directory.h"

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace berth::server {
namespace {

Error failed(const std::string& path, std::string_view what, int error) {
  return make_error(ErrorCode::io_error,
                    fmt::format("the data directory {}: {}: {}", path, what, std::strerror(error)));
}

/// The process id that the holder of the lock left in it, or "unknown".
std::string holder(int fd) {
  std::array<char, 16> text{};
  ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  std::string pid;
  for (ssize_t i = 0; i < size && text[static_cast<std::size_t>(i)] >= '0' && text[static_cast<std::size_t>(i)] <= '9'; ++i)
    pid += text[static_cast<std::size_t>(i)];
  return pid.empty() ? "unknown" : pid;
}

}  // namespace

Result<DataDirectory> DataDirectory::open(const std::string& path) {
  std::string parent = (std::filesystem::path(path) / "..").lexically_normal().string();
  if (::mkdir(path.c_str(), 0700) == 0) {
    // The folder's own entry must survive a power cut before anything in it is acknowledged.
    storage::Fd above(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!above || ::fsync(above.get()) != 0) return failed(path, "cannot sync its parent " + parent, errno);
  } else if (errno == ENOENT) {
    return make_error(ErrorCode::io_error,
                      fmt::format("the data directory {} cannot be made because {} does not exist; make that first, or "
                                  "mount the disk that belongs there",
                                  path, parent));
  } else if (errno != EEXIST) {
    return failed(path, "cannot be made", errno);
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return failed(path, "cannot be looked at", errno);
  if (!S_ISDIR(info.st_mode))
    return make_error(ErrorCode::io_error, fmt::format("the data directory {} is something else, not a directory", path));

  storage::Fd lock(::open((path + "/berth.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return failed(path, "cannot open berth.lock", errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed(path, "cannot lock berth.lock", errno);
    return make_error(ErrorCode::unavailable,
                      fmt::format("the data directory {} is in use by another berth (process {}); stop that one, or give "
                                  "this one a directory of its own with --data",
                                  path, holder(lock.get())));
  }
  // For the message above only, so a failure (a full disk) is no reason not to start.
  std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), pid.data(), pid.size(), 0) < 0) errno = 0;
  return DataDirectory(path, std::move(lock));
}

}  // namespace berth::server
