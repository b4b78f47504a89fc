// A repository while a command works on it. All that is counted by repository is kept here and nowhere else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "registry/index.h"

namespace berth::registry {

/// What a command changes in a repository's figures; see UsageRecord for their meaning.
struct UsageDelta {
  std::int64_t logical_bytes = 0;
  std::int64_t unique_bytes = 0;
  std::int64_t manifests = 0;
  std::int64_t tags = 0;
  std::int64_t held = 0;
};

struct Repository {
  RepositoryId id = 0;
  RepositoryRecord record;
  UsageDelta delta = {};  ///< gathered by the functions of links.h, tags.h, edges.h; written by settle()

  bool live() const { return record.state == RepositoryState::live; }
};

/// A live repository by its name. Empty when there is none.
Result<std::optional<Repository>> find_repository(const Index& index, NamespaceId name_space, std::string_view name);
/// Any repository by its id, deleted ones too. Empty when it is gone for good.
Result<std::optional<Repository>> load_repository(const Index& index, RepositoryId id);
/// Once a command calls one of these it no longer refuses. The first makes it when it is not there; the second is for who
/// knows that it is not.
Result<Repository> find_or_create_repository(Index& index, NamespaceId name_space, std::string_view name);
Result<Repository> create_repository(Index& index, NamespaceId name_space, std::string_view name);

/// The last step of a command on a repository: writes its figures and its project's, puts it into the catalog or takes
/// it out, and lets it go when it holds nothing any more.
Result<void> settle(Index& index, Repository& repository);

/// Another repository became, or is no longer, the only holder of an object.
Result<void> add_unique_bytes(Index& index, RepositoryId repository, std::int64_t bytes);

/// Takes a live repository's name and catalog entry away and files it for purging at `due`. Its figures leave its
/// project's. Call after settle().
Result<void> unbind(Index& index, Repository& repository, Uptime due);

/// a + delta. The figures are exact, so going below 0 is a bug that aborts.
std::uint64_t add(std::uint64_t figure, std::int64_t delta);

}  // namespace berth::registry
