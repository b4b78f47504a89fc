// Lines on their way from the threads that have them to standard error.
//
// Each thread has one of a few buffers, shared with at most some others, so that lines are no meeting place for the
// threads that serve. One writer takes what has gathered in them, at most every few milliseconds, puts it in the order
// of time and writes it with one call.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace berth::log {

/// Starts the writer; ends the former one first. `descriptor` is the caller's until stop_queue(). `losses` makes the
/// line that tells how many were lost, without its end.
void start_queue(int descriptor, std::function<std::string(std::uint64_t lost)> losses);

/// Writes what waits, for two seconds at most, and ends the writer. Idempotent.
void stop_queue();

/// Takes a line (without its end) that happened at `now`. A buffer that is full, because nobody reads, loses all it
/// has first. An urgent line wakes the writer at once. False: no writer runs, and the line was not taken.
bool post(std::chrono::system_clock::time_point now, std::string_view line, bool urgent);

/// Since start_queue().
std::uint64_t lost_lines();

/// Waits until every line posted before is written or lost, `longest` at most; says whether it is.
bool flush_queue(std::chrono::milliseconds longest);

}  // namespace berth::log
