// The keys that berth signs its tokens with, over time.
//
// A key has a time from which it signs. Before it, it is *next*: published, so that whoever caches the key set knows it
// in time. Then it is *active*, until the next one is. Then it is *retired*: it signs no more, and what it signed is
// good until it has run out. Which is which follows from the times alone, so a restart or a second process agrees.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/keys.h"
#include "base/env.h"

namespace berth::auth {

/// Const after construction; replaced whole when a key comes or goes.
class KeyRing {
 public:
  struct Key {
    SigningKey key;
    WallTime active_from;
  };
  struct Options {
    Algorithm algorithm = Algorithm::es256;     ///< of new keys
    std::chrono::hours rotation{30 * 24};       ///< how long a key is active
    std::chrono::seconds lead{3600};            ///< how long it is published before
    std::chrono::seconds retired_for{3600};     ///< how long it is known after; more than a token lives
  };
  KeyRing(std::vector<Key> keys, const Options& options);

  /// Null when there is no key at all. A clock that was set back to before all keys gets the oldest.
  const SigningKey* signer(WallTime now) const;
  /// A key that may have signed a token that is still good. Null otherwise.
  const VerificationKey* find(std::string_view id, WallTime now) const;
  /// Until when find() knows the key, if the ring stays as it is.
  WallTime known_until(std::string_view id) const;
  /// The text of the JWKS: next, active and retired.
  std::string jwks(WallTime now) const;

  /// What there is to do now; look again within the hour.
  struct Plan {
    std::optional<WallTime> create;  ///< make a key that is active from then on
    std::vector<std::string> drop;   ///< ids of keys that nothing can be signed with
  };
  Plan plan(WallTime now) const;

 private:
  /// When the key at this place is past its time; max: not while it is the last.
  WallTime over_from(std::size_t index) const;
  bool is_over(std::size_t index, WallTime now) const;
  std::vector<Key> keys_;  ///< by active_from
  Options options_;
};

}  // namespace berth::auth
