// Plain values that cross the front door, apart from it so that commands and queries need neither coroutines nor the
// committer to name them.
#pragma once

#include <string>
#include <vector>

#include "oci/digest.h"
#include "oci/name.h"

namespace berth::registry {

/// A manifest as it goes out. Shared with the cache; const.
struct ManifestAnswer {
  oci::Digest digest;
  std::string media_type;
  std::string bytes;
};

/// The state a client believes a tag to be in (RFC 9110 §13.1).
struct Precondition {
  bool must_not_exist = false;          ///< If-None-Match: *
  std::vector<std::string> must_match = {};  ///< If-Match: digest texts; one of them
  bool must_exist = false;              ///< If-Match: *
  bool any() const { return must_not_exist || must_exist || !must_match.empty(); }
};

/// A tag that a push sets.
struct PushedTag {
  oci::Tag tag;
  bool may_overwrite = false;  ///< may the caller move it, if it leads elsewhere?
};

struct TagPage {
  std::vector<std::string> tags;
  bool more = false;
};
struct RepositoryPage {
  std::vector<std::string> names;
  bool more = false;
};
struct ReferrerPage {
  std::vector<std::string> descriptors;  ///< compact JSON objects
  std::string next_cursor;               ///< empty at the end
};

}  // namespace berth::registry
