// What berth asks beside itself: the directory of users, issuers of tokens, the collector of traces.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "config/settings.h"

namespace berth::server {

struct OutsideService {
  enum class Kind : std::uint8_t { directory, issuer, collector };

  Kind kind = Kind::directory;
  std::string name;     ///< its address, or what the settings call it
  std::string problem;  ///< why it cannot be used; empty: it answered as it should
};

/// Asks each that the settings name once, as berth would, every server of a directory by itself. Each has the time that
/// the settings give it, at most `longest`. Blocks.
std::vector<OutsideService> ask_outside_services(const config::Settings& settings, std::chrono::milliseconds longest);

}  // namespace berth::server
