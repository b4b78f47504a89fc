#include "base/log_text.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <variant>

#include "base/env.h"

namespace berth::log {
namespace {

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
void append_digits(TextOut& line, Number number) {
  std::array<char, kNumberMax> digits;
  const auto* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  line.append({digits.data(), end});
}

void append_fraction(TextOut& line, double number) {
  std::array<char, kNumberMax> digits;
  const auto* const end = fmt::format_to_n(digits.data(), digits.size(), "{}", number).out;
  line.append({digits.data(), end});
}

void append_value(TextOut& line, Format format, const Field::Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    if (format == Format::text && is_bare_word(*text)) {
      line.append(*text);
    } else {
      append_json_string(line, *text);
    }
  } else if (const auto* number = std::get_if<double>(&value)) {
    if (std::isfinite(*number)) {
      append_fraction(line, *number);
    } else {
      line.append("null");  // JSON has no word for these
    }
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    line.append(*flag ? "true" : "false");
  } else if (const auto* natural = std::get_if<std::uint64_t>(&value)) {
    append_number(line, *natural);
  } else if (const auto* time = std::get_if<std::chrono::microseconds>(&value)) {
    append_time(line, *time);
  } else {
    append_number(line, std::get<std::int64_t>(value));
  }
}

constinit thread_local bool time_text_is_gone = false;

struct ThreadTimeText : TimeText {
  ~ThreadTimeText() { time_text_is_gone = true; }
};

TimeText& thread_time_text(TimeText& late) {
  static thread_local ThreadTimeText own;
  return time_text_is_gone ? late : own;
}

}  // namespace

void append_number(TextOut& line, std::uint64_t number) { append_digits(line, number); }
void append_number(TextOut& line, std::int64_t number) { append_digits(line, number); }

void append_time(TextOut& line, std::chrono::microseconds time) {
  const std::int64_t all = time.count();
  if (all < 0) line.push_back('-');
  const std::uint64_t us = all < 0 ? 0 - static_cast<std::uint64_t>(all) : static_cast<std::uint64_t>(all);
  append_number(line, us / 1000);
  const auto rest = us % 1000;
  const char point[] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                        static_cast<char>('0' + rest % 10)};
  line.append({point, sizeof point});
}

void append_begin(TextOut& line, Format format, std::string_view now, Level level, std::string_view message) {
  const std::string_view name = to_string(level);
  if (format == Format::json) {
    line.append(R"({"time":")");
    line.append(now);
    line.append(R"(","level":")");
    line.append(name);
    line.append(R"(","msg":)");
    append_json_string(line, message);
    return;
  }
  line.append(now);
  line.push_back(' ');
  line.append(name);
  line.append(std::string_view("        ").substr(name.size()));
  if (is_readable(message)) {
    line.append(message);
  } else {
    append_json_string(line, message);
  }
}

void append_field(TextOut& line, Format format, std::string_view name, const Field::Value& value) {
  if (format == Format::json) {
    line.append(",\"");
    line.append(name);
    line.append("\":");
  } else {
    line.push_back(' ');
    line.append(name);
    line.push_back('=');
  }
  append_value(line, format, value);
}

void append_end(TextOut& line, Format format) {
  if (format == Format::json) line.push_back('}');
}

std::size_t line_max(std::string_view message, std::span<const Field> fields) {
  std::size_t size = kFrameMax + json_string_max(message.size());
  for (const Field& field : fields) {
    const auto* text = std::get_if<std::string_view>(&field.value);
    size += field.name.size() + 4 + (text == nullptr ? kNumberMax : json_string_max(text->size()));
  }
  return size;
}

std::string_view TimeText::of(std::chrono::system_clock::time_point time) {
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

OwnTimeText::OwnTimeText() : text_(thread_time_text(late_)) {}

}  // namespace berth::log
