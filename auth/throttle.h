// Back-off after failed logins, in front of the slow check of a password.
//
// How it works. A gate is a bucket of free failures that fills up again with time; when it is empty, every failure
// doubles the wait, up to half a minute. There is a gate
//   - for each pair of account and address: slows guessing;
//   - for each account, which counts different addresses that fail: slows guessing from many places;
//   - for each address, which counts different accounts that fail: slows trying one password on many accounts.
// So whoever fails over and over with one account slows neither other accounts behind the same address nor that account
// elsewhere. A pair that has logged in passes by the last two gates: however many attack an account, or share its
// address, its owner is not locked out. Nothing waits for longer than the longest wait, and attempts during a wait
// count for nothing.
//
// Unknown accounts are treated as known ones are. Memory is bounded: what was least recently used goes first, and pairs
// that logged in are kept apart from failures, so that a flood of these does not push them out. Keys are hashed with a
// salt of this process. Time comes from the caller. Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/env.h"

namespace berth::auth {

/// What an address counts as: an IPv4 address itself (also when it is written inside an IPv6 one), the first 64 bits of
/// an IPv6 address; any other text as it is.
std::string address_group(std::string_view address);

class LoginThrottle {
 public:
  struct Bucket {
    double free_failures = 5;
    std::chrono::seconds refill{30};  ///< one free failure each
  };
  struct Options {
    Bucket pair{.free_failures = 5, .refill = std::chrono::seconds(30)};
    Bucket account{.free_failures = 10, .refill = std::chrono::seconds(60)};
    Bucket address{.free_failures = 20, .refill = std::chrono::seconds(10)};
    // A pair that fails over and over counts once in so long. With these it never empties the bucket alone: one machine
    // with an old password slows only itself.
    std::chrono::seconds account_counts_pair_every{600};
    std::chrono::seconds address_counts_pair_every{60};
    std::chrono::seconds first_wait{1};
    std::chrono::seconds longest_wait{30};
    std::size_t gates_max = 16'384;             ///< of each kind
  };

  /// One login that is being checked. Ends with succeeded() or failed(); destroyed without either it counts for
  /// nothing. The throttle must outlive it.
  class Attempt {
   public:
    Attempt(Attempt&& other) noexcept;
    Attempt& operator=(Attempt&&) = delete;
    ~Attempt();
    void succeeded(SteadyTime now);
    void failed(SteadyTime now);

   private:
    friend class LoginThrottle;
    using Key = std::array<std::byte, 16>;
    Attempt(LoginThrottle& throttle, const Key& account, const Key& address, const Key& pair)
        : throttle_(&throttle), account_(account), address_(address), pair_(pair) {}
    LoginThrottle* throttle_;  ///< null when it has ended
    Key account_;
    Key address_;
    Key pair_;
  };

  struct Admission {
    std::optional<Attempt> attempt;     ///< empty: answer 429
    std::chrono::seconds retry_after{};  ///< at least a second then
    bool refused_by_address = false;     ///< because of other accounts that failed there
  };

  LoginThrottle(Entropy& entropy, const Options& options);
  LoginThrottle(const LoginThrottle&) = delete;

  /// May `account` be tried from `address` now? After a failure of the two, attempts that are still being checked count
  /// as failed ones: guessing in parallel is no faster.
  Admission admit(std::string_view account, std::string_view address, SteadyTime now);

  /// Gates held now.
  std::size_t size() const;

 private:
  using Key = Attempt::Key;
  struct Gate {
    Key key{};
    double free_left = 0;
    SteadyTime counted_at;         ///< when free_left was right; in the future while the gate is closed
    unsigned failures_beyond = 0;  ///< since the bucket ran empty
    SteadyTime closed_until;
    unsigned trying = 0;  ///< attempts under way (of pairs)
    std::optional<SteadyTime> account_counted_at = {};  ///< when the account's gate last counted this pair
    std::optional<SteadyTime> address_counted_at = {};  ///< likewise the address's
  };
  /// Gates by key, the least recently used last.
  struct Gates {
    std::list<Gate> order;
    std::map<Key, std::list<Gate>::iterator> by_key;
    Gate* find(const Key& key);
    void erase(const Key& key);
    Gate& get(const Key& key, const Bucket& bucket, SteadyTime now, std::size_t most);
  };

  Key key_of(char kind, std::string_view account, std::string_view address) const;
  static void refill(Gate& gate, const Bucket& bucket, SteadyTime now);
  static std::chrono::nanoseconds closed_for(const Gate* gate, SteadyTime now);
  std::chrono::nanoseconds wait_of_pair(Gate* gate, SteadyTime now) const;
  void count_failure(Gate& gate, const Bucket& bucket, SteadyTime now) const;
  void end_trying(const Attempt& attempt);

  const Options options_;
  std::array<std::byte, 16> salt_{};
  mutable std::mutex mutex_;
  Gates accounts_;
  Gates addresses_;
  Gates failing_pairs_;  ///< pairs that failed and never logged in
  Gates known_pairs_;    ///< pairs that logged in
};

}  // namespace berth::auth
