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
  storage::Fd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened) return failed("opening");
  return DiskProbe(std::move(opened));
}

Result<void> DiskProbe::check() const {
  // A byte that is in memory: ext4 and XFS ask whether they went down before they look for it. Writing nothing, which
  // changes no time stamp either, would do on ext4; XFS lets that pass unasked.
  char byte = 0;
  const auto read = ::pread(file_.get(), &byte, 1, 0);
  if (read == 1) return {};
  if (read == 0) errno = EIO;  // what is probed is never empty
  return failed("reading");
}

}  // namespace berth::kv
