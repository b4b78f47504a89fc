// Configuration files of any bytes: no crash, no endless parse, and what loads prints to something that loads to the same.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "config/settings.h"

using namespace berth;

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

/// A file without a disk under it.
class MemoryFile {
 public:
  MemoryFile(const void* data, std::size_t size) : fd_(memfd_create("config", MFD_CLOEXEC)) {
    must(fd_ >= 0 && ::write(fd_, data, size) == static_cast<ssize_t>(size));
  }
  ~MemoryFile() { ::close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  MemoryFile file(data, size);
  const std::string text(reinterpret_cast<const char*>(data), size);
  config::Sources sources{file.path(), {{"BERTH__LISTENERS", text}}, {}};
  ignore(config::load(sources));  // the same bytes as an environment's list: only crashes count here

  sources.environment.clear();
  auto loaded = config::load(sources);
  if (!loaded) {
    must(!loaded.error().message.empty());
    must(loaded.error().message.size() < 200'000);
    return 0;
  }
  auto printed = config::print(sources);
  must(printed.has_value());
  MemoryFile again(printed->data(), printed->size());
  auto reloaded = config::load({again.path(), {}, {}});
  must(reloaded.has_value());
  must(config::changes(*loaded, *reloaded).empty());
  return 0;
}
