// The log: one line an event, text for people and JSON for machines, on standard error.
//
// An event is rendered on the thread that has it and queued for one writer thread (base/log_queue.h), which writes a few
// milliseconds later, warnings and errors at once. A queue that is full (nobody reads standard error) drops its oldest
// lines, counts them and says so in the log when it moves again: a slow reader of the log never stops the registry.
// Thread-safe.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "base/result.h"

namespace berth::log {

enum class Level : std::uint8_t { trace, debug, info, warning, error };
enum class Format : std::uint8_t {
  automatic,  ///< text on a terminal, else JSON
  text,       ///< `2026-11-21T10:00:00.123Z info    message key=value other="a b"`
  json,       ///< `{"time":"…","level":"info","msg":"message","key":"value"}`
};

std::string_view to_string(Level level);
Result<Level> parse_level(std::string_view text);    ///< errors: request_invalid, with what was expected
Result<Format> parse_format(std::string_view text);  ///< "auto", "text", "json"; errors as above

/// A name and a value, borrowed for the length of the call. Names are words of the source code; values may come from
/// anybody: control bytes and invalid UTF-8 are made harmless. Not time, level or msg, which are taken.
struct Field {
  /// A span of time is written in milliseconds with three digits after the point.
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool, std::chrono::microseconds>;

  Field() = default;
  template <class T>
  Field(std::string_view name_, const T& value_) : name(name_), value(to_value(value_)) {}

  std::string_view name;
  Value value;

 private:
  template <class T>
  static constexpr bool is_duration = false;
  template <class Rep, class Period>
  static constexpr bool is_duration<std::chrono::duration<Rep, Period>> = true;

  template <class T>
  static Value to_value(const T& value) {
    if constexpr (std::same_as<T, bool>) {
      return value;
    } else if constexpr (is_duration<T>) {
      return std::chrono::duration_cast<std::chrono::microseconds>(value);
    } else if constexpr (std::floating_point<T>) {
      return static_cast<double>(value);
    } else if constexpr (std::signed_integral<T>) {
      return static_cast<std::int64_t>(value);
    } else if constexpr (std::unsigned_integral<T>) {
      return static_cast<std::uint64_t>(value);
    } else {
      static_assert(std::is_convertible_v<const T&, std::string_view>, "a text, a number, a bool or a span of time");
      return std::string_view(value);
    }
  }
};

/// Starts the writer thread. Called again it ends the former one first. `descriptor` stays the caller's and must be
/// open until shutdown(). Without it, warnings and errors are written in place, as text: enough for tools and tests.
void setup(Level level, Format format, int descriptor = 2);
void set_level(Level level);
Level level();

/// What lines look like: text or json.
Format format();

/// Would an event of this level be written? For fields that are dear to compute.
bool enabled(Level level);

void event(Level level, std::string_view message, std::span<const Field> fields);
inline void event(Level level, std::string_view message, std::initializer_list<Field> fields = {}) {
  event(level, message, std::span<const Field>(fields.begin(), fields.size()));
}
inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  event(Level::debug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  event(Level::info, message, fields);
}
inline void warning(std::string_view message, std::initializer_list<Field> fields = {}) {
  event(Level::warning, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  event(Level::error, message, fields);
}

/// Lines lost since setup() because nobody read them in time.
std::uint64_t dropped();

/// Waits until everything logged before the call is written, `longest` at most; says whether it is. Call it before
/// ending the process by force.
bool flush(std::chrono::milliseconds longest = std::chrono::seconds(2));

/// Writes what is queued (for two seconds at most) and ends the writer thread. Also runs at exit. Idempotent.
void shutdown();

/// The line of an event, without its end. `now` is the text of the time.
std::string render(Format format, std::string_view now, Level level, std::string_view message,
                   std::span<const Field> fields);

}  // namespace berth::log
