#include "base/log.h"

#include <poll.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/env.h"
#include "base/json_text.h"

namespace berth::log {
namespace {

using namespace std::chrono_literals;

constexpr std::array<std::string_view, 5> kLevelNames = {"trace", "debug", "info", "warning", "error"};
/// Lines that wait for the writer; each takes about half a KiB, all of it allocated at once.
constexpr std::size_t kQueueLines = 4096;
/// How long the last lines are tried for when the process ends and nobody reads them.
constexpr auto kShutdownPatience = 2s;
/// A pipe that is writable at all takes this much without blocking.
constexpr std::size_t kPipeWriteMax = 4096;
/// Lines that come faster than this are written together: a line that finds the writer at rest wakes it, and that costs
/// the thread which logs more than the line.
constexpr auto kGather = 5ms;
constexpr std::size_t kGatherBytes = 64 << 10;

/// Writes whole lines to a descriptor, never waiting longer than it is allowed to.
class Writer final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  Writer(int descriptor, Format format) : descriptor_(descriptor), format_(format) {
    struct stat status {};
    is_file_ = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  }
  ~Writer() override { write_gathered(); }

  /// Who is asked for the number of lines lost. Set before the first line; outlives the last.
  void watch(spdlog::details::thread_pool& queue) { queue_ = &queue; }
  /// From now on at most `longest` more is spent on lines that nobody reads.
  void hurry(std::chrono::milliseconds longest) {
    const SteadyTime until = std::chrono::steady_clock::now() + longest;
    deadline_.store(until.time_since_epoch().count(), std::memory_order_relaxed);
  }
  std::uint64_t written() const { return written_.load(std::memory_order_acquire); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    report_losses();
    gathered_.append(message.payload.data(), message.payload.size()) += '\n';
    ++gathered_lines_;
    if (queue_->queue_size() > 0 && gathered_.size() < kGatherBytes) return;  // more follow at once
    write_gathered();
    const SteadyTime now = std::chrono::steady_clock::now();
    const bool busy = now - last_write_ < 2 * kGather;
    last_write_ = now;
    if (busy && deadline_.load(std::memory_order_relaxed) == kNoDeadline) std::this_thread::sleep_for(kGather);
  }
  void flush_() override {}  // nothing is kept back but what more lines will follow

 private:
  void write_gathered() {
    write(gathered_);
    written_.fetch_add(gathered_lines_, std::memory_order_release);
    gathered_.clear();
    gathered_lines_ = 0;
  }

  void report_losses() {
    const std::uint64_t lost = queue_->overrun_counter();
    if (lost == reported_) return;
    const Field fields[] = {{"lines", lost - reported_}};
    reported_ = lost;
    write_gathered();
    write(render(format_, format_rfc3339(SystemClock().wall()), Level::warning, "log lines were lost", fields) + '\n');
  }

  void write(std::string_view text) {
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

  bool wait_until_writable() const {
    while (true) {
      const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
      const bool late = now >= deadline_.load(std::memory_order_relaxed);
      pollfd one{descriptor_, POLLOUT, 0};
      const int ready = ::poll(&one, 1, late ? 0 : 50);
      if (ready > 0) return true;
      if (late || (ready < 0 && errno != EINTR)) return false;
    }
  }

  static constexpr SteadyTime::rep kNoDeadline = SteadyTime::max().time_since_epoch().count();

  const int descriptor_;
  const Format format_;
  bool is_file_ = false;
  std::string gathered_;
  std::uint64_t gathered_lines_ = 0;
  SteadyTime last_write_{};
  spdlog::details::thread_pool* queue_ = nullptr;
  std::uint64_t reported_ = 0;
  std::atomic<std::uint64_t> written_{0};
  std::atomic<SteadyTime::rep> deadline_{kNoDeadline};
};

/// One set-up log. Ended by its last owner: shutdown(), or a thread that is still inside event().
struct Pipeline {
  Pipeline(Format format_, int descriptor)
      : format(format_),
        writer(std::make_shared<Writer>(descriptor, format_)),
        queue(std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1)),
        logger(std::make_shared<spdlog::async_logger>("berth", writer, queue,
                                                      spdlog::async_overflow_policy::overrun_oldest)) {
    writer->watch(*queue);
    logger->set_level(spdlog::level::trace);  // this file decides what is written
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  /// The queue's destructor lets its thread write what is left, then joins it.
  ~Pipeline() { writer->hurry(kShutdownPatience); }

  void post(Level level, std::string_view line) {
    posted.fetch_add(1, std::memory_order_relaxed);
    logger->log(level == Level::error ? spdlog::level::err : spdlog::level::info, spdlog::string_view_t(line));
  }
  /// The first `lines` lines are written or lost.
  bool is_through(std::uint64_t lines) const { return writer->written() + queue->overrun_counter() >= lines; }

  const Format format;
  const std::shared_ptr<Writer> writer;
  const std::shared_ptr<spdlog::details::thread_pool> queue;
  const std::shared_ptr<spdlog::async_logger> logger;
  std::atomic<std::uint64_t> posted{0};
};

/// The process has one standard error, so it has one log. Never destroyed: threads may log until the very end.
struct Global {
  std::mutex mutex;
  std::shared_ptr<Pipeline> pipeline;
  std::atomic<Level> level{Level::warning};
};

Global& global() {
  static auto* const instance = new Global;
  return *instance;
}

std::shared_ptr<Pipeline> current() {
  const std::lock_guard lock(global().mutex);
  return global().pipeline;
}

void replace(std::shared_ptr<Pipeline> next) {
  {
    const std::lock_guard lock(global().mutex);
    global().pipeline.swap(next);
  }
  next.reset();  // outside the lock: this waits for the former one's lines
}

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
    fmt::format_to(std::back_inserter(line), "{}", *natural);
  } else {
    fmt::format_to(std::back_inserter(line), "{}", std::get<std::int64_t>(value));
  }
}

std::string render_text(std::string_view now, Level level, std::string_view message, std::span<const Field> fields) {
  std::string line = fmt::format("{} {:<7} ", now, to_string(level));
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
  return line;
}

std::string render_json(std::string_view now, Level level, std::string_view message, std::span<const Field> fields) {
  std::string line;
  line.reserve(512);  // an access line
  fmt::format_to(std::back_inserter(line), R"({{"time":"{}","level":"{}","msg":)", now, to_string(level));
  append_json_string(line, message);
  for (const Field& field : fields) {
    line += ',';
    append_json_string(line, field.name);
    line += ':';
    append_value(line, Format::json, field.value);
  }
  line += '}';
  return line;
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
  replace(nullptr);
  replace(std::make_shared<Pipeline>(format, descriptor));
  set_level(level);
}

void set_level(Level level) { global().level.store(level, std::memory_order_relaxed); }
Level level() { return global().level.load(std::memory_order_relaxed); }
bool enabled(Level level) { return level >= log::level(); }

void event(Level level, std::string_view message, std::span<const Field> fields) {
  if (!enabled(level)) return;
  const std::string now = format_rfc3339(SystemClock().wall());
  if (const auto pipeline = current()) {
    pipeline->post(level, render(pipeline->format, now, level, message, fields));
  } else {
    const std::string line = render(Format::text, now, level, message, fields) + '\n';
    std::fwrite(line.data(), 1, line.size(), stderr);
  }
}

std::uint64_t dropped() {
  const auto pipeline = current();
  return pipeline == nullptr ? 0 : pipeline->queue->overrun_counter();
}

bool flush(std::chrono::milliseconds longest) {
  const auto pipeline = current();
  if (pipeline == nullptr) return true;
  const std::uint64_t lines = pipeline->posted.load(std::memory_order_relaxed);
  const SteadyTime until = std::chrono::steady_clock::now() + longest;
  while (!pipeline->is_through(lines)) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

void shutdown() { replace(nullptr); }

std::string render(Format format, std::string_view now, Level level, std::string_view message,
                   std::span<const Field> fields) {
  return format == Format::json ? render_json(now, level, message, fields) : render_text(now, level, message, fields);
}

}  // namespace berth::log
