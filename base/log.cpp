#include "base/log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>

#include "base/env.h"
#include "base/log_line.h"
#include "base/log_queue.h"
#include "base/log_text.h"

namespace berth::log {
namespace {

constexpr std::array<std::string_view, 5> kLevelNames = {"trace", "debug", "info", "warning", "error"};

// Threads may log until the very end, and before anything else.
constinit std::atomic<Level> wanted{Level::warning};
constinit std::atomic<Format> form{Format::text};

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
Format format() { return form.load(std::memory_order_relaxed); }
Level level() { return wanted.load(std::memory_order_relaxed); }
bool enabled(Level level) { return level >= log::level(); }

void event(Level level, std::string_view message, std::span<const Field> fields) {
  if (!enabled(level)) return;
  Line line(level, message, line_max(message, fields));
  for (const Field& field : fields) line.add(field);
}

std::uint64_t dropped() { return lost_lines(); }
bool flush(std::chrono::milliseconds longest) { return flush_queue(longest); }
void shutdown() {
  stop_queue();
  form.store(Format::text, std::memory_order_relaxed);  // of what is written in place from here on
}

std::string render(Format format, std::string_view now, Level level, std::string_view message,
                   std::span<const Field> fields) {
  std::string line(now.size() + line_max(message, fields), '\0');
  TextOut out(line.data());
  append_begin(out, format, now, level, message);
  for (const Field& field : fields) append_field(out, format, field.name, field.value);
  append_end(out, format);
  line.resize(static_cast<std::size_t>(out.end() - line.data()));
  return line;
}

}  // namespace berth::log
