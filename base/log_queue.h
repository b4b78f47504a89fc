// Lines on their way from the threads that have them to standard error.
//
// Each thread has one of a few buffers, shared with at most some others, so that lines are no meeting place for the
// threads that serve. One writer takes what has gathered in them, at most every few milliseconds, puts it in the order
// of time and writes it with one call.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace berth::log {

/// Starts the writer; ends the former one first. `descriptor` is the caller's until stop_queue(). `losses` makes the
/// line that tells how many were lost, without its end.
void start_queue(int descriptor, std::function<std::string(std::uint64_t lost)> losses);

/// Writes what waits, for two seconds at most, and ends the writer. Idempotent.
void stop_queue();

struct LineBuffer;

/// Where the next line of this thread is written, in the buffer itself. For the moment that it takes: others may wait.
class Place {
 public:
  /// Room for `size_max` bytes of a line. A buffer that is full, because nobody reads, loses all it has first.
  explicit Place(std::size_t size_max);
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  /// False: no writer runs, and there is no room.
  bool taken() const { return begin_ != nullptr; }
  char* begin() const { return begin_; }
  /// When the line happens: read in the buffer, where no other line can come between.
  std::chrono::system_clock::time_point time() const { return time_; }
  /// The line ends at `end`, without an end of line. An urgent one wakes the writer at once. Called at most once.
  void post(const char* end, bool urgent);

 private:
  LineBuffer& buffer_;
  std::unique_lock<std::mutex> lock_;
  char* begin_ = nullptr;
  std::chrono::system_clock::time_point time_;
};

/// Since start_queue().
std::uint64_t lost_lines();

/// Waits until every line posted before is written or lost, `longest` at most; says whether it is.
bool flush_queue(std::chrono::milliseconds longest);

}  // namespace berth::log
