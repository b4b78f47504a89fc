// A line of the log that is written where it goes, field by field: for the line that every request has. The others use
// log::event(), which is made of it.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json_text.h"
#include "base/log.h"
#include "base/log_queue.h"
#include "base/log_text.h"

namespace berth::log {

/// The name of a field, known when the program is made, and what stands around it.
template <std::size_t size>
struct FieldName {
  consteval FieldName(const char (&name)[size]) {  // NOLINT(google-explicit-constructor)
    std::copy_n(name, size - 1, json.data() + 2);
    json[0] = ',';
    json[1] = json[size + 1] = '"';
    json[size + 2] = ':';
  }
  constexpr std::string_view as_json() const { return {json.data(), json.size()}; }
  constexpr std::string_view name() const { return as_json().substr(2, size - 1); }

  std::array<char, size + 3> json{};
};

/// Written when it ends. While it lasts, other threads may wait for their own: have the values ready.
class Line {
 public:
  /// The caller has asked enabled(). `bytes_max`: of the whole line; line_max() says it of known fields.
  Line(Level level, std::string_view message, std::size_t bytes_max);
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  /// A text, a natural number, a bool or a span of time. A field that has no room is left out.
  template <FieldName name, class T>
  void add(const T& value) {
    if (format_ != Format::json) return add(Field(name.name(), value));
    if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      const std::string_view text = value;
      if (!begin_field(name.as_json(), json_string_max(text.size()))) return;
      append_json_string(out_, text);
    } else {
      if (!begin_field(name.as_json(), kNumberMax)) return;
      if constexpr (std::same_as<T, bool>) {
        out_.append(value ? std::string_view("true") : std::string_view("false"));
      } else if constexpr (std::unsigned_integral<T>) {
        append_number(out_, static_cast<std::uint64_t>(value));
      } else {
        append_time(out_, std::chrono::duration_cast<std::chrono::microseconds>(value));
      }
    }
  }
  /// The same for a text of our own making, which is known to need no escapes: words, ids, addresses.
  template <FieldName name>
  void add_word(std::string_view word) {
    if (format_ != Format::json) return add(Field(name.name(), word));
    if (!begin_field(name.as_json(), word.size() + 2)) return;
    out_.push_back('"');
    out_.append(word);
    out_.push_back('"');
  }
  void add(const Field& field);

 private:
  bool begin_field(std::string_view name, std::size_t value_max) {
    if (static_cast<std::size_t>(limit_ - out_.end()) < name.size() + value_max) return false;
    out_.append(name);
    return true;
  }

  Level level_;
  Format format_;
  std::string own_;  ///< the line, while it has no place among those that wait for the writer
  std::optional<Place> place_;
  TextOut out_;
  const char* limit_;
};

}  // namespace berth::log
