// Sums over the whole index, kept as it changes: what a scrape or a page of figures reads instead of counting.
//
// Of this node, and so not in the change log:
//
//   meta        05      total u8                                           CounterRecord
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "registry/index.h"
#include "registry/records.h"

namespace berth::registry {

/// Reaches the disk: never renumber. One that is 0 has no record.
enum class Total : std::uint8_t {
  known = 1,             ///< 1 once the others are kept; an index from before that is counted once
  repositories = 2,      ///< live ones
  manifests = 3,         ///< live ones, in each live repository that has them
  tags = 4,              ///< of live repositories, leftovers included until they are swept
  blobs = 5,             ///< blobs stored, each once
  manifest_objects = 6,  ///< manifests stored, each once, deleted ones included until they are dropped
  bytes = 7,             ///< of both
  quarantined = 8,       ///< of both, those that failed a check
  reap_bytes = 9,        ///< files that the index has let go and that are still on the disk
};
/// All but `known`.
inline constexpr Total kTotals[] = {Total::repositories,     Total::manifests, Total::tags,        Total::blobs,
                                    Total::manifest_objects, Total::bytes,     Total::quarantined, Total::reap_bytes};

struct TotalKey {
  using Record = CounterRecord;
  static constexpr kv::Family kFamily = family::meta;
  static constexpr bool kReplicated = false;
  Total total = Total::known;
  std::string encode() const { return {'\x05', static_cast<char>(total)}; }
};

/// Errors: those of the reader, corrupt.
Result<std::uint64_t> total(const kv::Reader& reader, Total which);

/// A figure for people: one that was damaged stops at 0 rather than the server.
Result<void> add_to_total(Index& index, Total which, std::int64_t delta);

/// Counts anew, all but reap_bytes, in one walk over names, objects and projects; keeps nothing of it but the sums.
using Totals = std::map<Total, std::uint64_t>;
Result<Totals> recount_totals(const kv::Reader& reader);

/// Makes them known, once in the life of an index.
Result<void> init_totals(Index& index);

}  // namespace berth::registry
