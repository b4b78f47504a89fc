#include "storage/ballast.h"

#include <algorithm>
#include <limits>

#include "base/log.h"
#include "base/metrics.h"

namespace berth::storage {
namespace {

constexpr std::uint64_t kDiskSharePart = 10;          ///< of a small disk the ballast takes a tenth at most
constexpr std::uint64_t kLowWaterMin = 2 << 20;
constexpr std::uint64_t kLowWaterDiskPart = 8;        ///< and low water an eighth
constexpr std::uint64_t kFreeInodesMin = 64;          ///< kept for the index, which replaces its files

using Gauges = metrics::Family<metrics::Gauge>;
const Gauges disk_bytes("storage_filesystem_size_bytes", "Size of the file system that holds the data.", {"path"});
const Gauges free_bytes("storage_filesystem_free_bytes",
                        "What berth may still write there, the ballast not counted.", {"path"});
const Gauges free_inodes("storage_filesystem_free_inodes",
                         "Files that may still be made there; absent where the file system does not count them.",
                         {"path"});
metrics::Gauge& held_gauge =
    Gauges("storage_ballast_bytes", "Space held back for the index; 0 while it is given up.").with();
metrics::Gauge& low_water_gauge =
    Gauges("storage_low_water_bytes", "Pushes are refused when fewer bytes than this are free.").with();
metrics::Gauge& full_gauge = Gauges("storage_full", "1 while pushes are refused because the disk is nearly full.").with();

/// As it was seen last: the collector looks every second, so that a scrape need not wait for a disk.
void show(const std::string& path, const SpaceInfo& space) {
  disk_bytes.with({path}).set(static_cast<std::int64_t>(space.size_bytes));
  free_bytes.with({path}).set(static_cast<std::int64_t>(space.free_bytes));
  if (space.free_inodes != std::numeric_limits<std::uint64_t>::max()) {
    free_inodes.with({path}).set(static_cast<std::int64_t>(space.free_inodes));
  }
}

}  // namespace

Ballast::Ballast(FileSystem& files, BallastOptions options)
    : files_(files), options_(std::move(options)), path_(options_.directory + "/ballast"),
      probe_path_(options_.directory + "/ballast.probe") {}

Result<void> Ballast::open() {
  const std::lock_guard lock(mutex_);
  Result<void> opened = take_over();
  tell();
  return opened;
}

Result<void> Ballast::take_over() {
  BERTH_TRY(const SpaceInfo space, files_.space(options_.directory));
  size_ = std::clamp(space.size_bytes / 100 * options_.size_share_percent, options_.size_min,
                     std::max(options_.size_min, options_.size_max));
  size_ = std::min(size_, space.size_bytes / kDiskSharePart);
  low_water_ = options_.low_water_bytes;
  if (low_water_ == 0) {
    low_water_ = std::max(size_ / 2, std::min(kLowWaterMin, space.size_bytes / kLowWaterDiskPart));
  }

  BERTH_CHECK(files_.remove(probe_path_));
  BERTH_TRY(const bool found, files_.exists(path_));
  if (found) {
    BERTH_TRY(const Fd fd, files_.open(path_, OpenMode::read));
    BERTH_TRY(const std::uint64_t found_size, files_.file_size(fd.get()));
    held_ = found_size == size_;  // the size grows as blocks are allocated: right size, all there
    if (held_ && space.free_bytes < size_) {
      give_up();
      writable_.store(false, std::memory_order_release);
      return {};
    }
    if (!held_) BERTH_CHECK(files_.remove(path_));
  }
  return look(OnRoom::accept_pushes);
}

void Ballast::check() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  ignore(look(OnRoom::accept_pushes));  // not writable is the answer
  tell();
}

void Ballast::report_full() {
  writable_.store(false, std::memory_order_release);
  const std::lock_guard lock(mutex_);
  doubtful_ = true;
  ignore(look(OnRoom::wait));  // not writable is the answer
  tell();
}

void Ballast::tell() {
  held_gauge.set(held_ ? static_cast<std::int64_t>(size_) : 0);
  low_water_gauge.set(static_cast<std::int64_t>(low_water_));
  full_gauge.set(writable() ? 0 : 1);
  if (writable() != told_full_) return;
  told_full_ = !told_full_;
  if (told_full_)
    log::warning("the disk is nearly full: pushes are refused until there is more room",
                 {{"directory", options_.directory}, {"low_water_bytes", low_water_}});
  else
    log::info("there is room on the disk again: pushes are taken", {{"directory", options_.directory}});
}

Result<void> Ballast::look(OnRoom on_room) {
  if (probe_left_) probe_left_ = !files_.remove(probe_path_).has_value();
  // A disk that does not answer changes nothing.
  BERTH_TRY(const SpaceInfo space, files_.space(options_.directory));
  show(options_.directory, space);
  const std::uint64_t free_now = space.free_bytes;

  const std::uint64_t index_share = low_water_ / 2;
  if (held_ && (free_now < index_share || (doubtful_ && !can_allocate(index_share)))) {
    give_up();
    writable_.store(false, std::memory_order_release);
    return {};
  }

  // Free as if the ballast were held, so that its release never looks like room for pushes. Coming back takes a little
  // more than staying, or a disk at the mark would flap with every upload.
  const std::uint64_t beside = held_ ? free_now : free_now - std::min(free_now, size_);
  const std::uint64_t wanted = writable() ? low_water_ : low_water_ + low_water_ / 4;
  bool room = beside >= wanted && space.free_inodes >= kFreeInodesMin;
  if (room && doubtful_) room = can_allocate(wanted + (held_ ? 0 : size_));
  Result<void> made;
  if (room && !held_) {
    made = make();
    room = made.has_value();
  }
  if (on_room == OnRoom::accept_pushes) {
    if (room) doubtful_ = false;
    writable_.store(room, std::memory_order_release);
  }
  if (made.failed_with(ErrorCode::storage_full)) return {};
  return made;
}

Result<void> Ballast::make() {
  if (size_ == 0) {  // a disk that tells no size, or open() was not called
    held_ = true;
    return {};
  }
  Result<void> made = files_.remove(path_);
  if (made.has_value()) {
    Result<Fd> fd = files_.open(path_, OpenMode::create_new);
    made = fd.has_value() ? files_.allocate(fd->get(), size_) : Result<void>(fd.error());
  }
  held_ = made.has_value();
  if (!held_) ignore(files_.remove(path_));  // the next try removes it, too
  return made;
}

void Ballast::give_up() {
  // Where removing fails nothing was gained, and the next look tries again.
  held_ = !files_.remove(path_).has_value();
}

bool Ballast::can_allocate(std::uint64_t bytes) {
  ignore(files_.remove(probe_path_));  // left by a crash; if it stays, creating fails and that is the answer
  const Result<Fd> fd = files_.open(probe_path_, OpenMode::create_new);
  const bool could = fd.has_value() && files_.allocate(fd->get(), bytes).has_value();
  probe_left_ = !files_.remove(probe_path_).has_value();
  return could;
}

}  // namespace berth::storage
