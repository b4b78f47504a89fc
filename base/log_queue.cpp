#include "base/log_queue.h"

#include <poll.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
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
/// How long lines gather: each wake-up of the writer costs the thread that logs more than its line.
constexpr auto kGather = 5ms;
/// How long the last lines are tried for when the process ends and nobody reads them.
constexpr auto kShutdownPatience = 2s;
/// A pipe that is writable at all takes this much without blocking.
constexpr std::size_t kPipeWriteMax = 4096;

/// In front of each line in a buffer.
struct LineHead {
  std::int64_t time;  ///< orders lines of different buffers
  std::size_t size;
};

struct alignas(64) Buffer {
  std::mutex mutex;
  std::string lines;  ///< heads and lines
  std::uint64_t waiting = 0;
  std::uint64_t posted = 0;
  std::uint64_t lost = 0;
  bool open = false;  ///< a writer will come for what is posted
};

void empty(std::string& text) {
  const bool keep = text.capacity() <= std::max(kKeptBytes, 4 * text.size());
  text.clear();
  if (!keep) text.shrink_to_fit();
}

/// The lines of one buffer, first to last.
class Lines {
 public:
  explicit Lines(std::string_view bytes) : rest_(bytes) { read(); }
  bool done() const { return rest_.empty(); }
  std::int64_t time() const { return head_.time; }
  void move_to(std::string& out) {
    out.append(rest_.substr(sizeof head_, head_.size)) += '\n';
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
class Output final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit Output(int descriptor) : descriptor_(descriptor) {
    struct stat status {};
    is_file_ = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  }
  /// From now on at most `longest` more is spent on lines that nobody reads. Thread-safe.
  void hurry(std::chrono::milliseconds longest) {
    deadline_.store((steady_clock::now() + longest).time_since_epoch().count(), std::memory_order_relaxed);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string_view text(message.payload.data(), message.payload.size());
    const std::size_t most = is_file_ ? text.size() : kPipeWriteMax;
    while (!text.empty() && (is_file_ || wait_until_writable())) {
      const ssize_t size = ::write(descriptor_, text.data(), std::min(text.size(), most));
      if (size >= 0) {
        text.remove_prefix(static_cast<std::size_t>(size));
      } else if (errno != EINTR && errno != EAGAIN) {
        return;  // Standard error is gone: there is nobody left to tell.
      }
    }
  }
  void flush_() override {}

 private:
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
    stopping_ = false;
    for (Buffer& buffer : buffers_) {
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

  bool post(std::chrono::system_clock::time_point now, std::string_view line, bool urgent) {
    Buffer& buffer = buffers_[metrics::detail::shard()];
    {
      const std::lock_guard lock(buffer.mutex);
      if (!buffer.open) return false;
      if (buffer.lines.size() + line.size() > kBufferBytes) {
        buffer.lost += std::exchange(buffer.waiting, 0);
        buffer.lines.clear();
      }
      const LineHead head{now.time_since_epoch().count(), line.size()};
      buffer.lines.append(reinterpret_cast<const char*>(&head), sizeof head).append(line);
      ++buffer.waiting;
      ++buffer.posted;
      urgent = urgent || buffer.lines.size() > kHurryBytes;
    }
    // The writer takes this back before it looks into the buffers: who finds it set is seen.
    if (urgent ? !urgent_.load(std::memory_order_relaxed) : !waiting_.load(std::memory_order_relaxed)) wake(urgent);
    return true;
  }

  std::uint64_t lost() {
    return sum([](const Buffer& buffer) { return buffer.lost; });
  }

  bool flush(std::chrono::milliseconds longest) {
    const std::uint64_t posted = sum([](const Buffer& buffer) { return buffer.posted; });
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
    for (Buffer& buffer : buffers_) {
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
    std::uint64_t lost = 0;
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
      Buffer& buffer = buffers_[i];
      const std::lock_guard lock(buffer.mutex);
      buffer.lines.swap(taken_[i]);
      lines += std::exchange(buffer.waiting, 0);
      lost += buffer.lost;
      if (last) buffer.open = false;
    }
    if (lost != reported_) {
      text_ += losses_(lost - std::exchange(reported_, lost));
      text_ += '\n';
    }
    merge();
    output_->log({spdlog::source_loc{}, "", spdlog::level::info, spdlog::string_view_t(text_)});
    written_.fetch_add(lines, std::memory_order_release);
    empty(text_);
    for (std::string& taken : taken_) empty(taken);
  }

  void merge() {
    std::array<Lines, kBuffers> all = [this]<std::size_t... i>(std::index_sequence<i...>) {
      return std::array<Lines, kBuffers>{Lines(taken_[i])...};
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
  std::array<Buffer, kBuffers> buffers_;

  std::mutex lifecycle_;  ///< start and stop
  std::thread writer_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::atomic<bool> waiting_{false};  ///< there are lines; written under mutex_
  std::atomic<bool> urgent_{false};   ///< and they are not to gather; written under mutex_
  std::atomic<std::uint64_t> written_{0};

  // The writer's alone while it runs.
  std::function<std::string(std::uint64_t)> losses_;
  std::unique_ptr<Output> output_;
  std::array<std::string, kBuffers> taken_;
  std::string text_;
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
bool post(std::chrono::system_clock::time_point now, std::string_view line, bool urgent) {
  return queue().post(now, line, urgent);
}
std::uint64_t lost_lines() { return queue().lost(); }
bool flush_queue(std::chrono::milliseconds longest) { return queue().flush(longest); }

}  // namespace berth::log
