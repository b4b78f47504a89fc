#include "base/log_queue.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/metrics.h"

namespace berth::log {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// What one buffer holds before it is full; there are detail::kShards of them.
constexpr std::size_t kBufferBytes = 1 << 20;
/// A buffer with this much does not wait for its turn.
constexpr std::size_t kHurryBytes = 128 << 10;
/// What a buffer keeps of its memory when less and less comes.
constexpr std::size_t kKeptBytes = 64 << 10;
/// How long lines gather. Each wake-up of the writer costs the thread that logs more than its line; but what gathers
/// for longer leaves the core's own cache before it is written, which costs as much.
constexpr auto kGather = 4ms;
/// How long the last lines are tried for when the process ends and nobody reads them.
constexpr auto kShutdownPatience = 2s;
/// A pipe that is writable at all takes this much without blocking.
constexpr std::size_t kPipeWriteMax = 4096;

/// In front of each line in a buffer.
struct LineHead {
  std::int64_t time;  ///< orders lines of different buffers
  std::size_t size;
};

/// Memory that is written in place, without zeros first.
class Bytes {
 public:
  std::size_t size() const { return size_; }
  std::string_view view() const { return {memory_.get(), size_}; }
  /// Room for `more` bytes behind what there is; add() says how many came. Valid until the next call.
  char* room(std::size_t more) {
    if (capacity_ - size_ < more) {
      const std::size_t capacity = std::max(2 * capacity_, size_ + more);
      auto memory = std::make_unique_for_overwrite<char[]>(capacity);
      if (size_ > 0) std::memcpy(memory.get(), memory_.get(), size_);
      memory_ = std::move(memory);
      capacity_ = capacity;
    }
    return memory_.get() + size_;
  }
  void add(std::size_t bytes) { size_ += bytes; }
  void clear() { size_ = 0; }
  /// Keeps no more memory than what it held just now asks for.
  void empty() {
    if (capacity_ > std::max(kKeptBytes, 4 * size_)) *this = Bytes();
    clear();
  }
  void swap(Bytes& other) {
    memory_.swap(other.memory_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  std::unique_ptr<char[]> memory_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace

struct alignas(64) LineBuffer {
  std::mutex mutex;
  Bytes lines;  ///< heads and lines
  std::uint64_t waiting = 0;
  std::uint64_t posted = 0;
  std::uint64_t lost = 0;
  bool open = false;  ///< a writer will come for what is posted
};

namespace {

/// The lines of one buffer, first to last.
class Lines {
 public:
  explicit Lines(std::string_view bytes) : rest_(bytes) { read(); }
  bool done() const { return rest_.empty(); }
  std::int64_t time() const { return head_.time; }
  void move_to(Bytes& out) {
    char* const line = out.room(head_.size + 1);
    std::memcpy(line, rest_.data() + sizeof head_, head_.size);
    line[head_.size] = '\n';
    out.add(head_.size + 1);
    rest_.remove_prefix(sizeof head_ + head_.size);
    read();
  }

 private:
  void read() {
    if (!rest_.empty()) std::memcpy(&head_, rest_.data(), sizeof head_);
  }
  std::string_view rest_;
  LineHead head_{};
};

/// Writes whole lines to a descriptor, never waiting longer than it is allowed to.
class Output {
 public:
  explicit Output(int descriptor) : descriptor_(descriptor) {
    struct stat status{};
    is_file_ = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  }
  /// From now on at most `longest` more is spent on lines that nobody reads. Thread-safe.
  void hurry(std::chrono::milliseconds longest) {
    deadline_.store((steady_clock::now() + longest).time_since_epoch().count(), std::memory_order_relaxed);
  }

  /// How many bytes of these lines were written: fewer when nobody reads, or the disk is full.
  std::size_t write(std::string_view lines) {
    // Else the first line would be glued to what there is of one that was cut off.
    if (torn_ && write_part("\n") == 0) return 0;
    torn_ = false;
    const std::size_t written = write_part(lines);
    torn_ = written > 0 && lines[written - 1] != '\n';
    return written;
  }

 private:
  std::size_t write_part(std::string_view text) const {
    const std::size_t most = is_file_ ? text.size() : kPipeWriteMax;
    std::size_t written = 0;
    while (written < text.size() && (is_file_ || wait_until_writable())) {
      const ssize_t size = ::write(descriptor_, text.data() + written, std::min(text.size() - written, most));
      if (size >= 0) {
        written += static_cast<std::size_t>(size);
      } else if (errno != EINTR && errno != EAGAIN) {
        break;  // a full disk, or standard error is gone: what is left is lost
      }
    }
    return written;
  }

  bool wait_until_writable() const {
    while (true) {
      const bool late = steady_clock::now().time_since_epoch().count() >= deadline_.load(std::memory_order_relaxed);
      pollfd one{descriptor_, POLLOUT, 0};
      const int ready = ::poll(&one, 1, late ? 0 : 50);
      if (ready > 0) return true;
      if (late || (ready < 0 && errno != EINTR)) return false;
    }
  }

  const int descriptor_;
  bool is_file_ = false;
  bool torn_ = false;  ///< what was written last has no end of line
  std::atomic<steady_clock::rep> deadline_{steady_clock::time_point::max().time_since_epoch().count()};
};

/// The process has one standard error, so it has one queue. Never destroyed: threads may log until the very end.
class Queue {
 public:
  void start(int descriptor, std::function<std::string(std::uint64_t)> losses) {
    const std::lock_guard lock(lifecycle_);
    stop_locked();
    losses_ = std::move(losses);
    output_ = std::make_unique<Output>(descriptor);
    reported_ = 0;
    written_.store(0, std::memory_order_relaxed);
    unwritten_.store(0, std::memory_order_relaxed);
    stopping_ = false;
    for (LineBuffer& buffer : buffers_) {
      const std::lock_guard buffer_lock(buffer.mutex);
      buffer.posted = buffer.lost = 0;
      buffer.open = true;
    }
    writer_ = std::thread([this] { run(); });
  }

  void stop() {
    const std::lock_guard lock(lifecycle_);
    stop_locked();
  }

  LineBuffer& buffer() { return buffers_[metrics::detail::shard()]; }

  void hurry(bool urgent) {
    // The writer takes this back before it looks into the buffers: who finds it set is seen.
    if (urgent ? !urgent_.load(std::memory_order_relaxed) : !waiting_.load(std::memory_order_relaxed)) wake(urgent);
  }

  std::uint64_t lost() {
    return sum([](const LineBuffer& buffer) { return buffer.lost; }) + unwritten_.load(std::memory_order_relaxed);
  }

  bool flush(std::chrono::milliseconds longest) {
    const std::uint64_t posted = sum([](const LineBuffer& buffer) { return buffer.posted; });
    const auto until = steady_clock::now() + longest;
    while (written_.load(std::memory_order_acquire) + lost() < posted) {
      if (steady_clock::now() >= until) return false;
      wake(true);
      std::this_thread::sleep_for(200us);
    }
    return true;
  }

 private:
  template <class Part>
  std::uint64_t sum(Part part) {
    std::uint64_t all = 0;
    for (LineBuffer& buffer : buffers_) {
      const std::lock_guard lock(buffer.mutex);
      all += part(buffer);
    }
    return all;
  }

  void wake(bool urgent) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.store(true, std::memory_order_relaxed);
      if (urgent) urgent_.store(true, std::memory_order_relaxed);
    }
    wake_.notify_one();
  }

  void stop_locked() {
    if (!writer_.joinable()) return;
    output_->hurry(kShutdownPatience);
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    writer_.join();
    output_.reset();
  }

  void run() {
    bool last = false;
    while (!last) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return stopping_ || waiting_.load(std::memory_order_relaxed); });
        wake_.wait_for(lock, kGather, [this] { return stopping_ || urgent_.load(std::memory_order_relaxed); });
        last = stopping_;
        waiting_.store(false, std::memory_order_relaxed);
        urgent_.store(false, std::memory_order_relaxed);
      }
      write_gathered(last);
    }
  }

  /// The buffers' locks order what was set above before what is found inside.
  void write_gathered(bool last) {
    std::uint64_t lines = 0;
    std::uint64_t lost = unwritten_.load(std::memory_order_relaxed);
    with_all_locked([&] {
      for (std::size_t i = 0; i < kBuffers; ++i) {
        LineBuffer& buffer = buffers_[i];
        buffer.lines.swap(taken_[i]);
        lines += std::exchange(buffer.waiting, 0);
        lost += buffer.lost;
        if (last) buffer.open = false;
      }
    });
    std::uint64_t missing = lines;
    try {
      missing = write_taken(lost);
    } catch (...) {
      // There is no memory to put them together in. The process has worse to do than to die of its log.
    }
    unwritten_.fetch_add(missing, std::memory_order_relaxed);
    written_.fetch_add(lines - missing, std::memory_order_release);
    text_.empty();
    for (Bytes& taken : taken_) taken.empty();
  }

  /// How many of the lines that were taken are not written, or not whole. `lost` were lost before, in all.
  std::uint64_t write_taken(std::uint64_t lost) {
    if (lost != reported_) {
      const std::string line = losses_(lost - reported_) + '\n';
      std::memcpy(text_.room(line.size()), line.data(), line.size());
      text_.add(line.size());
    }
    const std::size_t report_size = text_.size();
    merge();
    const std::size_t written = output_->write(text_.view());
    if (written >= report_size) reported_ = lost;
    const std::string_view rest = text_.view().substr(std::max(written, report_size));
    return static_cast<std::uint64_t>(std::ranges::count(rest, '\n'));
  }

  /// All at one moment: a line that came after another, of whichever thread, is never taken without it. Who waits for
  /// one of them holds none.
  template <class Work>
  void with_all_locked(Work&& work) {
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      const std::scoped_lock locks(buffers_[i].mutex...);
      work();
    }(std::make_index_sequence<kBuffers>());
  }

  void merge() {
    std::array<Lines, kBuffers> all = [this]<std::size_t... i>(std::index_sequence<i...>) {
      return std::array<Lines, kBuffers>{Lines(taken_[i].view())...};
    }(std::make_index_sequence<kBuffers>());
    while (true) {
      Lines* first = nullptr;
      for (Lines& lines : all) {
        if (!lines.done() && (first == nullptr || lines.time() < first->time())) first = &lines;
      }
      if (first == nullptr) return;
      first->move_to(text_);
    }
  }

  static constexpr std::size_t kBuffers = metrics::detail::kShards;
  std::array<LineBuffer, kBuffers> buffers_;

  std::mutex lifecycle_;  ///< start and stop
  std::thread writer_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::atomic<bool> waiting_{false};  ///< there are lines; written under mutex_
  std::atomic<bool> urgent_{false};   ///< and they are not to gather; written under mutex_
  std::atomic<std::uint64_t> written_{0};
  std::atomic<std::uint64_t> unwritten_{0};  ///< taken from their buffers, and lost

  // The writer's alone while it runs.
  std::function<std::string(std::uint64_t)> losses_;
  std::unique_ptr<Output> output_;
  std::array<Bytes, kBuffers> taken_;
  Bytes text_;
  std::uint64_t reported_ = 0;
};

Queue& queue() {
  static auto* const instance = new Queue;
  return *instance;
}

}  // namespace

void start_queue(int descriptor, std::function<std::string(std::uint64_t)> losses) {
  queue().start(descriptor, std::move(losses));
}
void stop_queue() { queue().stop(); }

Place::Place(std::size_t size_max)
    : buffer_(queue().buffer()), lock_(buffer_.mutex), time_(std::chrono::system_clock::now()) {
  if (!buffer_.open) return;
  if (buffer_.lines.size() + size_max > kBufferBytes) {
    buffer_.lost += std::exchange(buffer_.waiting, 0);
    buffer_.lines.clear();
  }
  begin_ = buffer_.lines.room(sizeof(LineHead) + size_max) + sizeof(LineHead);
}

void Place::post(const char* end, bool urgent) {
  const LineHead head{time_.time_since_epoch().count(), static_cast<std::size_t>(end - begin_)};
  std::memcpy(begin_ - sizeof head, &head, sizeof head);
  buffer_.lines.add(sizeof head + head.size);
  ++buffer_.waiting;
  ++buffer_.posted;
  urgent = urgent || buffer_.lines.size() > kHurryBytes;
  lock_.unlock();
  queue().hurry(urgent);
}

std::uint64_t lost_lines() { return queue().lost(); }
bool flush_queue(std::chrono::milliseconds longest) { return queue().flush(longest); }

}  // namespace berth::log
