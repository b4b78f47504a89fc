// Credentials that were right a moment ago: clients of Basic authentication repeat them with every request, and a slow
// hash for each would be the limit of the whole registry.
//
// Kept is HMAC-SHA256 under a key of this process alone over user, zero byte, password; never the password. An entry
// lives for a minute from the check that made it, whoever uses it. Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/env.h"

namespace berth::auth {

class VerifiedCache {
 public:
  struct Options {
    std::size_t entries_max = 4096;
    std::chrono::seconds lifetime{60};
  };
  VerifiedCache(Entropy& entropy, const Options& options);
  ~VerifiedCache();
  VerifiedCache(const VerifiedCache&) = delete;

  using Mac = std::array<std::byte, 32>;
  struct Lookup {
    bool known = false;       ///< right, and checked not long ago
    SteadyTime until{};       ///< of what is known: when it is to be checked again
    Mac mac{};                ///< the rest is for remember()
    std::uint64_t epoch = 0;
  };

  /// Ask before the slow check. `user` holds no zero byte (an account's name cannot).
  Lookup look_up(std::string_view user, std::string_view password, SteadyTime now);
  /// After a check that succeeded. Does nothing when somebody was forgotten since the look-up: the check may have used
  /// a hash that is no longer the user's.
  void remember(const Lookup& lookup, std::string_view user, SteadyTime now);
  /// To be called after a password changed, or a user was disabled or removed.
  void forget(std::string_view user);
  /// After a change of who knows whom (a file of users was read anew).
  void forget_all();
  std::size_t size() const;

 private:
  struct Entry {
    Mac mac;
    std::string user;
    SteadyTime until;
  };
  struct Hmac;
  using Entries = std::list<Entry>;  ///< most recently used first

  void erase(Entries::iterator entry);

  const Options options_;
  const std::unique_ptr<const Hmac> hmac_;
  mutable std::mutex mutex_;
  std::uint64_t epoch_ = 0;
  Entries entries_;
  std::map<Mac, Entries::iterator> by_mac_;
};

}  // namespace berth::auth
