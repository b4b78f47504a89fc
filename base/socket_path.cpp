#include "base/socket_path.h"

#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace berth {
namespace {

constexpr std::size_t kPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

}  // namespace

Result<SocketPath> SocketPath::open(const std::string& path) {
  if (path.size() <= kPathBytesMax) return SocketPath(path, -1);
  const auto slash = path.rfind('/');
  const std::string folder = slash == path.npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == path.npos ? path : path.substr(slash + 1);
  const int descriptor = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return make_error(ErrorCode::io_error, folder + " cannot be opened: " + std::strerror(errno));
  SocketPath made("/proc/self/fd/" + std::to_string(descriptor) + "/" + name, descriptor);
  if (made.text_.size() > kPathBytesMax)
    return make_error(ErrorCode::io_error, "the name of a socket has at most 80 characters: " + path);
  return made;
}

SocketPath::SocketPath(SocketPath&& other) noexcept
    : text_(std::move(other.text_)), folder_(std::exchange(other.folder_, -1)) {}

SocketPath& SocketPath::operator=(SocketPath&& other) noexcept {
  std::swap(text_, other.text_);
  std::swap(folder_, other.folder_);
  return *this;
}

SocketPath::~SocketPath() {
  if (folder_ >= 0) ::close(folder_);
}

}  // namespace berth
