// Keeps the spans of a test.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/span.h"

namespace berth::test {

class KeptSpans final : public trace::SpanSink {
 public:
  void take(std::unique_ptr<trace::SpanRecord> span) noexcept override {
    const std::lock_guard lock(mutex_);
    spans_.push_back(std::move(span));
  }
  /// In the order in which they ended. Not while others end.
  const trace::SpanRecord& at(std::size_t index) const { return *spans_.at(index); }
  std::size_t size() const { return spans_.size(); }
  /// The last of that name; null without.
  const trace::SpanRecord* find(std::string_view name) const {
    for (auto span = spans_.rbegin(); span != spans_.rend(); ++span) {
      if ((*span)->name == name) return span->get();
    }
    return nullptr;
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<trace::SpanRecord>> spans_;
};

/// As text; "-" when nothing of that key was said.
inline std::string said(const trace::SpanRecord& span, std::string_view key) {
  for (const auto& attribute : span.attributes) {
    if (attribute.key != key) continue;
    const auto* number = std::get_if<std::int64_t>(&attribute.value);
    return number != nullptr ? std::to_string(*number) : std::get<std::string>(attribute.value);
  }
  return "-";
}

}  // namespace berth::test
