#include "storage/kv/disk_probe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace berth::kv {

namespace {

Error failed(const char* what) {
  return make_error(ErrorCode::io_error, "the index could not be read or written",
                    std::string(what) + " the probe: " + std::strerror(errno));
}

}  // namespace

Result<DiskProbe> DiskProbe::open(const std::filesystem::path& file) {
  storage::Fd opened(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!opened) return failed("opening");
  return DiskProbe(std::move(opened));
}

Result<void> DiskProbe::check() const {
  if (::pwrite(file_.get(), "", 0, 0) == 0) return {};
  return failed("writing nothing to");
}

}  // namespace berth::kv
