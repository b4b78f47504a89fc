#include "storage/blobs/write_behind.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>
#include <utility>

namespace berth::storage {
namespace {

constexpr std::size_t kFreeChunksMax = 4;

}  // namespace

// ---- what they share ----

bool DirectWriters::wanted() const {
  if (!options_.enabled) return false;
  const std::lock_guard lock(mutex_);
  return !given_up_ && std::chrono::steady_clock::now() >= slow_until_;
}

void DirectWriters::give_up() {
  const std::lock_guard lock(mutex_);
  given_up_ = true;
}

bool DirectWriters::enter() {
  if (!wanted()) return false;
  const std::lock_guard lock(mutex_);
  if (streams_ >= options_.streams_max) return false;
  ++streams_;
  return true;
}

void DirectWriters::leave() {
  const std::lock_guard lock(mutex_);
  --streams_;
}

DirectWriters::Chunk DirectWriters::take_chunk() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      Chunk chunk = std::move(free_.back());
      free_.pop_back();
      return chunk;
    }
  }
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kDirectAlignment, options_.chunk_bytes));
  if (memory == nullptr) throw std::bad_alloc();
  return Chunk(memory);
}

void DirectWriters::give_back(Chunk chunk) {
  if (!chunk) return;
  const std::lock_guard lock(mutex_);
  if (free_.size() < kFreeChunksMax) free_.push_back(std::move(chunk));
}

Pool& DirectWriters::threads() {
  const std::lock_guard lock(mutex_);
  if (!threads_) threads_ = std::make_unique<Pool>("direct", options_.threads);
  return *threads_;
}

void DirectWriters::begin_write() {
  const std::lock_guard lock(mutex_);
  if (writing_++ == 0) busy_since_ = std::chrono::steady_clock::now();
}

void DirectWriters::end_write(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  written_ += bytes;
  busy_ += now - std::exchange(busy_since_, now);
  --writing_;
  if (written_ < options_.pace_window_bytes) return;
  const double seconds = std::chrono::duration<double>(busy_).count();
  if (static_cast<double>(written_) < static_cast<double>(options_.pace_min_bytes) * seconds) {
    slow_until_ = now + options_.slow_for;
  }
  written_ = 0;
  busy_ = {};
}

// ---- one stream ----

std::unique_ptr<WriteBehind> WriteBehind::start(FileSystem& files, DirectWriters& writers, const std::string& path,
                                                int usual, std::uint64_t begin) {
  assert(begin % kDirectAlignment == 0);
  if (!writers.enter()) return nullptr;
  Result<std::optional<Fd>> direct = files.open_direct(path);
  if (!direct.has_value() || !direct->has_value()) {
    if (direct.has_value()) writers.give_up();
    writers.leave();
    return nullptr;
  }
  return std::unique_ptr<WriteBehind>(new WriteBehind(files, writers, *std::move(*direct), usual, begin));
}

WriteBehind::WriteBehind(FileSystem& files, DirectWriters& writers, Fd direct, int usual, std::uint64_t begin)
    : files_(files), writers_(writers), direct_(std::move(direct)), usual_(usual),
      chunk_bytes_(writers.options().chunk_bytes), filling_(writers.take_chunk()), begin_(begin) {}

WriteBehind::~WriteBehind() {
  wait();
  ignore(flight_.outcome);  // whoever gives the stream up gives its bytes up
  writers_.give_back(std::move(filling_));
  writers_.give_back(std::move(flying_));
  writers_.leave();
}

Result<void> WriteBehind::append(Bytes bytes) {
  while (!bytes.empty()) {
    if (filled_ == chunk_bytes_) {
      BERTH_CHECK(land());
      send();
    }
    const std::size_t part = std::min(bytes.size(), chunk_bytes_ - filled_);
    std::memcpy(filling_.get() + filled_, bytes.data(), part);
    filled_ += part;
    bytes = bytes.subspan(part);
  }
  return {};
}

/// The full chunk goes to a thread. Nothing is in flight.
void WriteBehind::send() {
  if (!flying_) flying_ = writers_.take_chunk();
  std::swap(filling_, flying_);
  flying_begin_ = std::exchange(begin_, begin_ + chunk_bytes_);
  filled_ = 0;
  in_flight_ = true;
  flight_.under_way = true;
  // The chunk and the descriptors stay until wait() has seen the end.
  writers_.post([this] {
    Result<void> outcome = write({flying_.get(), chunk_bytes_}, flying_begin_);
    const std::lock_guard lock(flight_.mutex);
    flight_.outcome = std::move(outcome);
    flight_.under_way = false;
    flight_.ended.notify_one();
  });
}

/// All of it aligned. The file system may have taken the flag and refuse the writes.
Result<void> WriteBehind::write(Bytes bytes, std::uint64_t offset) {
  if (bytes.empty()) return {};
  writers_.begin_write();
  const Result<bool> taken = files_.write_direct(direct_.get(), bytes, offset);
  writers_.end_write(bytes.size());
  if (!taken.has_value()) return taken.error();
  if (*taken) return {};
  writers_.give_up();
  return files_.write_at(usual_, bytes, offset);
}

void WriteBehind::wait() {
  std::unique_lock lock(flight_.mutex);
  flight_.ended.wait(lock, [this] { return !flight_.under_way; });
}

/// Afterwards nothing is in flight, or the disk does not take it. There may be room again by now.
Result<void> WriteBehind::land() {
  if (!in_flight_) return {};
  wait();
  if (flight_.outcome.failed_with(ErrorCode::storage_full)) {
    flight_.outcome = write({flying_.get(), chunk_bytes_}, flying_begin_);
  }
  in_flight_ = !flight_.outcome.has_value();
  return flight_.outcome;
}

Result<void> WriteBehind::finish() {
  BERTH_CHECK(land());
  const std::size_t aligned = filled_ - filled_ % kDirectAlignment;
  const Bytes all(filling_.get(), filled_);
  BERTH_CHECK(write(all.first(aligned), begin_));
  return files_.write_at(usual_, all.subspan(aligned), begin_ + aligned);
}

void WriteBehind::cut(std::uint64_t size) {
  const std::uint64_t end = begin_ + filled_;
  if (size >= end) return;
  if (size >= begin_) {
    filled_ = static_cast<std::size_t>(size - begin_);
    return;
  }
  // Into the chunk that the disk did not take: it fills again.
  assert(in_flight_ && size >= flying_begin_);
  std::swap(filling_, flying_);
  begin_ = flying_begin_;
  filled_ = static_cast<std::size_t>(size - begin_);
  in_flight_ = false;
}

std::uint64_t WriteBehind::in_file() {
  if (in_flight_) {
    wait();
    in_flight_ = !flight_.outcome.has_value();
  }
  return in_flight_ ? flying_begin_ : begin_;
}

}  // namespace berth::storage
