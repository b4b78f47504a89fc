// What the rules need to know of the caller. auth/ makes these values.
#pragma once

#include <cstdint>
#include <string>

namespace berth::registry {

/// Ids are apart from names, so that a person can be erased and renamed. 0 is berth itself.
using ActorId = std::uint64_t;
inline constexpr ActorId kSystemActor = 0;
inline constexpr ActorId kAnonymousActor = 1;

/// Who calls, within one request.
struct Actor {
  ActorId id = kAnonymousActor;
  std::string request_id;  ///< goes into the change log
};

/// Which repositories the caller may read: for lists and for anonymous mount. Today all or nothing.
struct Visibility {
  bool all = true;
};

}  // namespace berth::registry
