#include "base/log_spdlog.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string_view>

#include "base/log.h"

namespace berth::log {
namespace {

Level level_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace: return Level::trace;
    case spdlog::level::debug: return Level::debug;
    case spdlog::level::warn: return Level::warning;
    case spdlog::level::err:
    case spdlog::level::critical: return Level::error;
    default: return Level::info;
  }
}

/// event() is thread-safe and never waits, so this needs no lock of its own.
class Forward final : public spdlog::sinks::sink {
 public:
  void log(const spdlog::details::log_msg& message) override {
    event(level_of(message.level), std::string_view(message.payload.data(), message.payload.size()));
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}
};

}  // namespace

void adopt_spdlog() {
  auto logger = std::make_shared<spdlog::logger>("berth", std::make_shared<Forward>());
  logger->set_level(spdlog::level::trace);  // event() decides what is written
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace berth::log
