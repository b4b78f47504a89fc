// The keys that seal session tickets, so that a client that comes back needs no new signature from us.
//
// Tickets hold the session, and no server state remembers it. A key seals for six hours and opens for twelve more;
// then it is gone, and what was sealed with it cannot be read by anybody. All listeners and threads share the keys; a
// restart makes new ones, which costs its clients one full handshake.
#pragma once

#include <array>
#include <chrono>
#include <mutex>
#include <optional>
#include <vector>

#include "base/env.h"

namespace berth::server {

/// Thread-safe.
class TicketKeys {
 public:
  static constexpr auto kSealTime = std::chrono::hours(6);
  static constexpr auto kLifetime = std::chrono::hours(12);  ///< of a ticket

  using Name = std::array<unsigned char, 16>;
  struct Key {
    Name name{};
    std::array<unsigned char, 32> cipher{};
    std::array<unsigned char, 32> mac{};
    SteadyTime made{};
  };

  ~TicketKeys();
  /// The key to seal with; empty when the system gives no randomness.
  std::optional<Key> sealing(SteadyTime now);
  struct Opening {
    Key key;
    bool old = false;  ///< no longer sealed with
  };
  std::optional<Opening> opening(const unsigned char* name, SteadyTime now);

 private:
  bool rotate(SteadyTime now);

  std::mutex mutex_;
  std::vector<Key> keys_;  ///< the newest last
};

}  // namespace berth::server
