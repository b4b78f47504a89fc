#include "base/log_line.h"

#include <cstdio>
#include <cstring>
#include <new>

namespace berth::log {
namespace {

/// Longer lines take a while to make, are mostly not as long as they might become, and are therefore made elsewhere.
constexpr std::size_t kPlaceBytesMax = 64 << 10;

}  // namespace

Line::Line(Level level, std::string_view message, std::size_t bytes_max)
    : level_(level), format_(format()), out_(nullptr), limit_(nullptr) {
  if (bytes_max < kPlaceBytesMax) {
    place_.emplace(bytes_max);
    if (!place_->taken()) {
      place_.reset();
      format_ = Format::text;
    }
  }
  if (!place_) own_.resize(bytes_max);
  char* const begin = place_ ? place_->begin() : own_.data();
  out_ = TextOut(begin);
  limit_ = begin + bytes_max - 1;  // less what ends a line of JSON
  OwnTimeText text;
  append_begin(out_, format_, text.of(place_ ? place_->time() : std::chrono::system_clock::now()), level, message);
}

void Line::add(const Field& field) {
  const auto* text = std::get_if<std::string_view>(&field.value);
  const std::size_t value_max = text == nullptr ? kNumberMax : json_string_max(text->size());
  constexpr std::size_t kAround = 4;  // a name
  if (static_cast<std::size_t>(limit_ - out_.end()) < field.name.size() + kAround + value_max) return;
  append_field(out_, format_, field.name, field.value);
}

Line::~Line() {
  append_end(out_, format_);
  const bool urgent = level_ >= Level::warning;
  if (place_) {
    place_->post(out_.end(), urgent);
    return;
  }
  own_.resize(static_cast<std::size_t>(out_.end() - own_.data()));
  try {
    if (Place place(own_.size()); place.taken()) {
      std::memcpy(place.begin(), own_.data(), own_.size());
      place.post(place.begin() + own_.size(), urgent);
      return;
    }
  } catch (const std::bad_alloc&) {
    // There is no memory for it to wait in, and an end must not throw: better late on standard error than lost.
  }
  std::fwrite(own_.data(), 1, own_.size(), stderr);
  std::fputc('\n', stderr);
}

}  // namespace berth::log
