#include "base/log.h"

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>

#include "base/env.h"
#include "base/json_text.h"
#include "base/log_queue.h"

namespace berth::log {
namespace {

constexpr std::array<std::string_view, 5> kLevelNames = {"trace", "debug", "info", "warning", "error"};

// Threads may log until the very end, and before anything else.
constinit std::atomic<Level> wanted{Level::warning};
constinit std::atomic<Format> form{Format::text};

/// Plain printable ASCII and well-formed letters of other scripts need no quotes in a message.
bool is_readable(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = utf8_sequence_size(text);
    const auto first = static_cast<unsigned char>(text[0]);
    // Control bytes, and the control characters U+0080 to U+009F that terminals obey as well.
    if (size == 0 || first < 0x20 || first == 0x7f) return false;
    if (size == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) return false;
    text.remove_prefix(size);
  }
  return true;
}

bool is_bare_word(std::string_view text) {
  const auto is_word_byte = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.:/@+,%").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), is_word_byte);
}

template <class Number>
void append_number(std::string& line, Number number) {
  std::array<char, 20> digits;
  line.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

/// In milliseconds: 1.250
void append_time(std::string& line, std::chrono::microseconds time) {
  const std::int64_t all = time.count();
  if (all < 0) line += '-';
  const std::uint64_t us = all < 0 ? 0 - static_cast<std::uint64_t>(all) : static_cast<std::uint64_t>(all);
  append_number(line, us / 1000);
  const auto rest = us % 1000;
  const char point[] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                        static_cast<char>('0' + rest % 10)};
  line.append(point, sizeof point);
}

void append_value(std::string& line, Format format, const Field::Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    if (format == Format::text && is_bare_word(*text)) {
      line += *text;
    } else {
      append_json_string(line, *text);
    }
  } else if (const auto* number = std::get_if<double>(&value)) {
    // JSON has no word for these.
    line += std::isfinite(*number) ? fmt::format("{}", *number) : "null";
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    line += *flag ? "true" : "false";
  } else if (const auto* natural = std::get_if<std::uint64_t>(&value)) {
    append_number(line, *natural);
  } else if (const auto* time = std::get_if<std::chrono::microseconds>(&value)) {
    append_time(line, *time);
  } else {
    append_number(line, std::get<std::int64_t>(value));
  }
}

void render_text(std::string& line, std::string_view now, Level level, std::string_view message,
                 std::span<const Field> fields) {
  fmt::format_to(std::back_inserter(line), "{} {:<7} ", now, to_string(level));
  if (is_readable(message)) {
    line += message;
  } else {
    append_json_string(line, message);
  }
  for (const Field& field : fields) {
    line += ' ';
    line += field.name;
    line += '=';
    append_value(line, Format::text, field.value);
  }
}

void render_json(std::string& line, std::string_view now, Level level, std::string_view message,
                 std::span<const Field> fields) {
  line += R"({"time":")";
  line += now;
  line += R"(","level":")";
  line += to_string(level);
  line += R"(","msg":)";
  append_json_string(line, message);
  for (const Field& field : fields) {
    line += ",\"";
    line += field.name;
    line += "\":";
    append_value(line, Format::json, field.value);
  }
  line += '}';
}

void render_to(std::string& line, Format format, std::string_view now, Level level, std::string_view message,
               std::span<const Field> fields) {
  format == Format::json ? render_json(line, now, level, message, fields) : render_text(line, now, level, message, fields);
}

/// The text of a time, of which only the milliseconds change from line to line.
class TimeText {
 public:
  std::string_view of(std::chrono::system_clock::time_point time) {
    const auto second = std::chrono::floor<std::chrono::seconds>(time);
    if (second != second_ || text_.empty()) {
      text_ = format_rfc3339(second);
      second_ = second;
    }
    const auto rest = static_cast<unsigned>(std::chrono::floor<std::chrono::milliseconds>(time - second).count());
    char* const digits = text_.data() + text_.size() - 4;  // before the Z
    digits[0] = static_cast<char>('0' + rest / 100);
    digits[1] = static_cast<char>('0' + rest / 10 % 10);
    digits[2] = static_cast<char>('0' + rest % 10);
    return text_;
  }

 private:
  std::chrono::sys_seconds second_{};
  std::string text_;
};

/// What a thread keeps of a line's memory.
constexpr std::size_t kLineBytesKept = 4096;

constinit thread_local bool scratch_is_gone = false;

/// What a thread makes its lines in.
struct Scratch {
  ~Scratch() { scratch_is_gone = true; }
  TimeText time;
  std::string line;
};

/// Who logs so late that its thread's own is gone brings one along.
Scratch& scratch(std::optional<Scratch>& late) {
  static thread_local Scratch own;
  return scratch_is_gone ? late.emplace() : own;
}

}  // namespace

std::string_view to_string(Level level) { return kLevelNames[static_cast<std::size_t>(level)]; }

Result<Level> parse_level(std::string_view text) {
  const auto found = std::find(kLevelNames.begin(), kLevelNames.end(), text);
  if (found != kLevelNames.end()) return static_cast<Level>(found - kLevelNames.begin());
  return make_error(ErrorCode::request_invalid, "a log level is one of trace, debug, info, warning, error");
}

Result<Format> parse_format(std::string_view text) {
  if (text == "auto") return Format::automatic;
  if (text == "text") return Format::text;
  if (text == "json") return Format::json;
  return make_error(ErrorCode::request_invalid, "a log format is one of auto, text, json");
}

void setup(Level level, Format format, int descriptor) {
  static const int at_exit = std::atexit(shutdown);
  (void)at_exit;  // its failure costs the last lines of a process that forgot to call shutdown()
  if (format == Format::automatic) format = ::isatty(descriptor) == 1 ? Format::text : Format::json;
  stop_queue();
  form.store(format, std::memory_order_relaxed);
  start_queue(descriptor, [format](std::uint64_t lost) {
    const Field fields[] = {{"lines", lost}};
    return render(format, format_rfc3339(SystemClock().wall()), Level::warning, "log lines were lost", fields);
  });
  set_level(level);
}

void set_level(Level level) { wanted.store(level, std::memory_order_relaxed); }
Level level() { return wanted.load(std::memory_order_relaxed); }
bool enabled(Level level) { return level >= log::level(); }

void event(Level level, std::string_view message, std::span<const Field> fields) {
  if (!enabled(level)) return;
  std::optional<Scratch> late;
  auto& [time_text, line] = scratch(late);
  const auto now = std::chrono::system_clock::now();
  line.clear();
  render_to(line, form.load(std::memory_order_relaxed), time_text.of(now), level, message, fields);
  if (!post(now, line, level >= Level::warning)) {
    line = render(Format::text, time_text.of(now), level, message, fields) + '\n';
    std::fwrite(line.data(), 1, line.size(), stderr);
  }
  if (line.capacity() > kLineBytesKept) std::string().swap(line);
}

std::uint64_t dropped() { return lost_lines(); }
bool flush(std::chrono::milliseconds longest) { return flush_queue(longest); }
void shutdown() { stop_queue(); }

std::string render(Format format, std::string_view now, Level level, std::string_view message,
                   std::span<const Field> fields) {
  std::string line;
  render_to(line, format, now, level, message, fields);
  return line;
}

}  // namespace berth::log
