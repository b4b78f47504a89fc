#include "auth/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace berth::auth {

Result<std::string> read_secret_file(const std::string& path) {
  const auto refuse = [&path](const std::string& why) { return make_error(ErrorCode::unavailable, path + ": " + why); };
  const auto failed = [&refuse] { return refuse(std::generic_category().message(errno)); };
  // Without O_NONBLOCK a named pipe would keep the thread for ever.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return failed();
  struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } const closer{descriptor};
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) return failed();
  if (!S_ISREG(status.st_mode)) return refuse("not a regular file");
  std::string content(kSecretFileBytesMax + 1, '\0');
  std::size_t size = 0;
  while (size < content.size()) {
    const auto got = ::read(descriptor, content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed();
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kSecretFileBytesMax) return refuse("larger than a secret is");
  content.resize(size);
  while (!content.empty() && (content.back() == '\n' || content.back() == '\r')) content.pop_back();
  if (content.empty()) return refuse("empty");
  return content;
}

}  // namespace berth::auth
