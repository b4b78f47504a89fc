// Is the index whole? A walk over all of it that trusts nothing it can work out again: for tests and for offline
// checks, never for a running server.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "registry/keys.h"
#include "registry/records.h"
#include "storage/kv/kv.h"

namespace berth::registry {

/// Every figure, counted anew from the links, manifests, holders and tags.
struct Figures {
  std::map<RepositoryId, UsageRecord> repositories;
  std::map<std::pair<NamespaceId, std::string>, ProjectUsageRecord> projects;
};
/// Keeps these and nothing else of the index. Errors: those of the reader, corrupt.
Result<Figures> recount(const kv::Reader& reader);

/// One sentence for each rule of docs/storage-format.md ("What always holds") that does not hold somewhere, with where.
/// At most `findings_max`. Errors: those of the reader, corrupt.
Result<std::vector<std::string>> check_index(const kv::Reader& reader, std::size_t findings_max = 100);

}  // namespace berth::registry
