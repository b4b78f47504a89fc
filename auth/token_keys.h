// The keys that berth signs its tokens with: stored with the identities, held here as a KeyRing.
//
// There is no thread that turns keys. Whoever wants the ring gets the one of now; whoever wants to sign also does what
// the ring plans, one at a time. The first key is made for the first token. While nobody asks, nothing is due.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "auth/key_ring.h"
#include "base/completion.h"
#include "base/env.h"
#include "base/task.h"

namespace berth::registry {
class Identities;
struct TokenKey;
}  // namespace berth::registry

namespace berth::auth {

/// Thread-safe.
class TokenKeys {
 public:
  using Ring = std::shared_ptr<const KeyRing>;
  static constexpr std::size_t kWaitingMax = 1024;

  /// All outlive it. `pool` makes keys: that is too slow for an I/O thread.
  TokenKeys(registry::Identities& identities, Pool& pool, const Clock& clock, const KeyRing::Options& options);
  TokenKeys(const TokenKeys&) = delete;

  /// What there is, maybe nothing. What was removed a moment ago is not in it. Errors: those of the identities.
  Task<Ring> current();
  /// The same with a key that signs, which is made when there is none. Errors: unavailable, internal; those of the
  /// identities.
  Task<Ring> to_sign();

 private:
  using Waiting = std::shared_ptr<Completion<Ring>>;
  /// Stored as next; signs from then on.
  struct NextKey {
    WallTime active_from;
    std::string id;
    auto operator<=>(const NextKey&) const = default;
  };
  /// What is stored, as it was when the identities had this version. Const once it is shared.
  struct Held {
    std::uint64_t version = 0;
    Ring ring;
    std::map<std::string, SigningKey> keys;  ///< by id, so that each is parsed once
    std::vector<NextKey> next;               ///< by time
  };
  using Shared = std::shared_ptr<const Held>;
  /// One caller works on the keys. Its end, whatever it is, lets the next one in and answers those who waited.
  class Turn;

  WallTime active_from(const registry::TokenKey& key) const;
  Task<Shared> load();
  Shared held();
  void keep(const Shared& fresh);
  bool take_turn(bool can_sign);
  void wait(Waiting waiting);
  void end_turn(const Result<Ring>& ring);
  void rest();
  Task<Ring> work();
  Task<void> do_what_is_due();

  registry::Identities& identities_;
  Pool& pool_;
  const Clock& clock_;
  const KeyRing::Options options_;

  std::mutex mutex_;  ///< guards what follows
  Shared held_;
  bool working_ = false;
  SteadyTime rest_until_{};  ///< after work that failed
  std::vector<Waiting> waiting_;
};

}  // namespace berth::auth
