// Back-off after failed logins, in front of the slow check of a password.
//
// How it works. A gate is a bucket of free failures that fills up again with time; when it is empty, every failure
// doubles the wait, up to half a minute. There is a gate
//   - for each pair of account and address: slows guessing;
//   - for each account, which counts different addresses that fail: slows guessing from many places;
//   - for each address, which counts different accounts that fail: slows trying one password on many accounts.
// So whoever fails over and over with one account slows neither other accounts behind the same address nor that account
// elsewhere. A pair that has logged in is known: it passes by the last two gates, and its own closes for the first wait
// at most. However many attack an account, or share its address, its owner is not locked out. Nothing waits for longer
// than the longest wait, and attempts during a wait count for nothing.
//
// What is being checked counts as a failure to come: no more is checked at once than may fail, and of strangers (pairs
// that are not known) only a few at an address and a part of what can be checked at all, so that guessing in parallel
// is no faster and a flood of strangers leaves room for those who are known. Others wait in line: strangers in one line
// an address, the lines in turn, a known pair in a line of its own. Most who wait are let in at once when somebody who
// tries the same was right; when a gate closes, who waits behind it is refused.
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
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/completion.h"
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
    std::size_t known_at_once = 32;             ///< checked, of a known pair that has not failed
    std::size_t address_at_once = 8;            ///< checked, of strangers at one address
    std::size_t strangers_at_once = 32;         ///< checked, everywhere
    std::size_t waiting_max = 4096;  ///< of strangers, and of the known; then who is last in the longest line gives way
    std::chrono::seconds waiting_time_max{30};
  };

  using Key = std::array<std::byte, 16>;
  /// An account at an address, by which every gate is found.
  struct Pair {
    Key account{};
    Key address{};
    Key both{};
    bool known = false;  ///< when it came
  };

  /// One login that is being checked. Ends with succeeded() or failed(); destroyed without either it counts for
  /// nothing. The throttle must outlive it.
  class Attempt {
   public:
    Attempt(Attempt&& other) noexcept : throttle_(std::exchange(other.throttle_, nullptr)), pair_(other.pair_) {}
    Attempt& operator=(Attempt&&) = delete;
    ~Attempt();
    void succeeded(SteadyTime now);
    void failed(SteadyTime now);

   private:
    friend class LoginThrottle;
    Attempt(LoginThrottle& throttle, const Pair& pair) : throttle_(&throttle), pair_(pair) {}
    LoginThrottle* throttle_;  ///< null when it has ended
    Pair pair_;
  };

  struct Admission {
    std::optional<Attempt> attempt = {};  ///< empty: answer 429
    bool refused_by_address = false;      ///< because of others there: who failed, or who waits
  };
  using Turn = Completion<Admission>;

  LoginThrottle(Entropy& entropy, const Options& options);
  LoginThrottle(const LoginThrottle&) = delete;

  /// May `account` be tried from `address` now? Completes `turn`, at once or when it is its turn. Errors of that:
  /// unavailable, after stop(). Whoever gave the wait up is passed over.
  void admit(std::string_view account, std::string_view address, SteadyTime now, std::shared_ptr<Turn> turn);
  /// For how long `account` is refused at `address`; nothing when it may be tried, or wait in line.
  std::chrono::seconds wait(std::string_view account, std::string_view address, SteadyTime now);

  /// Nobody waits any more, or ever again. Idempotent.
  void stop();

  /// Gates held now.
  std::size_t size() const;
  /// Those in line.
  std::size_t waiting() const;

 private:
  struct Gate {
    Key key{};
    double free_left = 0;
    SteadyTime counted_at;         ///< when free_left was right; in the future while the gate is closed
    unsigned failures_beyond = 0;  ///< since the bucket ran empty
    SteadyTime closed_until;
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

  struct Waiter {
    Pair pair;
    SteadyTime since;
    std::shared_ptr<Turn> turn;
  };
  struct Line {
    std::list<Waiter> waiters;  ///< never empty
    std::list<Key>::iterator place;
  };
  /// Lines by the address of strangers, or by the known pair.
  struct Lines {
    std::map<Key, Line> by_key;
    std::list<Key> order;  ///< whose turn is next
    std::set<std::pair<std::size_t, Key>> by_length;
    std::size_t waiting = 0;
    std::size_t length(const Key& key) const;
    void push(const Key& key, Waiter waiter);
    /// After waiters left a line that had `before` of them.
    void shortened(const Key& key, std::size_t before);
  };
  struct Verdict {
    std::chrono::nanoseconds closed{};
    bool closed_by_address = false;
    bool has_room = false;
  };
  /// What is told when the lock is no longer held.
  using News = std::vector<std::pair<std::shared_ptr<Turn>, Result<Admission>>>;

  Key key_of(char kind, std::string_view account, std::string_view address) const;
  Pair pair_of(std::string_view account, std::string_view address) const;
  static void refill(Gate& gate, const Bucket& bucket, SteadyTime now);
  static std::chrono::nanoseconds closed_for(const Gate* gate, SteadyTime now);
  static std::size_t room(Gate* gate, const Bucket& bucket, SteadyTime now);
  void count_failure(Gate& gate, const Bucket& bucket, std::chrono::seconds longest_wait, SteadyTime now) const;
  void count_failure_of(const Pair& pair, SteadyTime now);
  Lines& lines_of(const Pair& pair) { return pair.known ? known_ : strangers_; }
  static const Key& line_of(const Pair& pair) { return pair.known ? pair.both : pair.address; }
  std::size_t under_way(const Key& key) const;
  Verdict judge(const Pair& pair, SteadyTime now);
  Attempt enter(const Pair& pair);
  void leave(const Pair& pair);
  void wait_in_line(const Pair& pair, SteadyTime now, std::shared_ptr<Turn> turn, News& news);
  bool serve(Lines& lines, const Key& key, News& news);
  void serve_after(const Pair& pair, News& news);
  void recognise(const Pair& pair);
  static void tell(News news);

  const Options options_;
  std::array<std::byte, 16> salt_{};
  mutable std::mutex mutex_;
  Gates accounts_;
  Gates addresses_;
  Gates failing_pairs_;  ///< pairs that failed and never logged in
  Gates known_pairs_;    ///< pairs that logged in
  std::map<Key, std::size_t> under_way_;  ///< attempts, by pair, and of strangers by account and address as well
  std::size_t strangers_under_way_ = 0;
  Lines strangers_;
  Lines known_;
  SteadyTime latest_;  ///< of all times that anybody said
  bool stopped_ = false;
};

}  // namespace berth::auth
