// How a line of the log looks, as text and as JSON.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/json_text.h"
#include "base/log.h"

namespace berth::log {

/// Of any value that is no text.
constexpr std::size_t kNumberMax = 32;
/// Of what is neither message nor field: the time, the level and what stands between.
constexpr std::size_t kFrameMax = 100;

/// What a line has room for in any case.
std::size_t line_max(std::string_view message, std::span<const Field> fields);

/// Everything up to the first field.
void append_begin(TextOut& line, Format format, std::string_view now, Level level, std::string_view message);
void append_field(TextOut& line, Format format, std::string_view name, const Field::Value& value);
/// What follows the last field.
void append_end(TextOut& line, Format format);

void append_number(TextOut& line, std::uint64_t number);
void append_number(TextOut& line, std::int64_t number);
/// In milliseconds: 1.250
void append_time(TextOut& line, std::chrono::microseconds time);

/// The text of a time, of which only the milliseconds change from line to line.
class TimeText {
 public:
  /// Valid until the next call.
  std::string_view of(std::chrono::system_clock::time_point time);

 private:
  std::chrono::sys_seconds second_{};
  std::string text_;
};

/// This thread's own. Who logs so late that it is gone brings one along.
class OwnTimeText {
 public:
  OwnTimeText();
  std::string_view of(std::chrono::system_clock::time_point time) { return text_.of(time); }

 private:
  TimeText late_;
  TimeText& text_;
};

}  // namespace berth::log
