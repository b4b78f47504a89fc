// What the rules need to know of the caller. auth/ makes these values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/span.h"
#include "base/waits.h"
#include "registry/pattern.h"

namespace berth::registry {

/// Ids are apart from names, so that a person can be erased and renamed. 0 is berth itself.
using ActorId = std::uint64_t;
inline constexpr ActorId kSystemActor = 0;
inline constexpr ActorId kAnonymousActor = 1;

/// Who calls, within one request.
struct Actor {
  ActorId id = kAnonymousActor;
  std::string request_id;  ///< goes into the change log
  std::string name = {};   ///< `user:alice`, for the log; never stored: the id is
  trace::Parent trace = {};  ///< of the request, for what is done for it
  Waits* waits = nullptr;  ///< where the request's are counted, which outlives what is done for it; null: nobody asks
};

/// Which repositories the caller may read: for lists and for mounts that name no source. None until somebody says so.
struct Visibility {
  bool all = false;
  std::vector<RepositoryPattern> patterns = {};               ///< unless all: what one of them matches
  std::optional<std::vector<RepositoryPattern>> within = {};  ///< a token's ceiling: and one of these must match too

  static Visibility everything() { return {.all = true}; }
  /// Walks the patterns: for one name, not for a list (queries.h has that).
  bool shows(std::string_view name) const;
};

/// Which tags of a repository a right is about. None until somebody says so.
struct TagSet {
  bool all = false;
  std::vector<TagPattern> patterns = {};  ///< unless all: what one of them matches

  static TagSet everything() { return {.all = true}; }
  bool contains(std::string_view tag) const;
};

}  // namespace berth::registry
