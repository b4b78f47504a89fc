// What berth asks beside itself, as `berth doctor` speaks of it.
#pragma once

#include <cstdint>
#include <string>

namespace berth::cli {

struct OutsideService {
  enum class Kind : std::uint8_t { directory, issuer, collector };

  Kind kind = Kind::directory;
  std::string name;     ///< its address, or what the settings call it
  std::string problem;  ///< why it cannot be used; empty: it answered as it should
};

}  // namespace berth::cli
