#include "server/local_socket.h"

#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/socket_path.h"

namespace berth::server {
namespace {

constexpr int kBacklog = 64;

Error failed(const std::string& path, std::string_view what) {
  return make_error(ErrorCode::io_error, fmt::format("the local socket {}: {}: {}", path, what, std::strerror(errno)));
}

Result<void> bind_to(int descriptor, const std::string& path) {
  BERTH_TRY(const auto fitting, SocketPath::open(path));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, fitting.text().data(), fitting.text().size());  // the rest is zero
  if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failed(path, "cannot be made");
  return {};
}

}  // namespace

Result<LocalSocket> LocalSocket::open(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) == 0 && !S_ISSOCK(found.st_mode))
    return make_error(ErrorCode::io_error, fmt::format("the local socket {}: something else has this name", path));
  // Nobody can connect before it listens, and it has its name only then: there is no moment when others could come in,
  // and none when a client finds a socket that is not served.
  const std::string scratch = path + ".new";
  (void)::unlink(scratch.c_str());  // of a start that was cut off
  Descriptor descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!descriptor) return failed(path, "cannot be made");
  BERTH_CHECK(bind_to(descriptor.get(), scratch));
  LocalSocket made(scratch, std::move(descriptor));  // its end removes the file
  if (::lstat(scratch.c_str(), &found) != 0) return failed(path, "cannot be looked at");
  made.device_ = found.st_dev;
  made.inode_ = found.st_ino;
  if (::chmod(scratch.c_str(), 0600) != 0) return failed(path, "cannot be kept from others");
  if (::listen(made.descriptor_.get(), kBacklog) != 0) return failed(path, "cannot be listened on");
  if (::rename(scratch.c_str(), path.c_str()) != 0) return failed(path, "cannot be put in place");
  made.path_ = path;
  return made;
}

LocalSocket::LocalSocket(LocalSocket&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      descriptor_(std::move(other.descriptor_)),
      device_(other.device_),
      inode_(other.inode_) {}

LocalSocket::~LocalSocket() {
  if (path_.empty()) return;
  struct stat found {};
  if (::lstat(path_.c_str(), &found) != 0 || found.st_dev != device_ || found.st_ino != inode_) return;
  (void)::unlink(path_.c_str());  // What stays behind is replaced at the next start.
}

std::optional<uid_t> trusted_peer(int descriptor) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || size != sizeof peer) return std::nullopt;
  if (peer.uid != 0 && peer.uid != ::geteuid()) return std::nullopt;
  return peer.uid;
}

}  // namespace berth::server
