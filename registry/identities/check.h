// Are the identities whole? A part of check_index(), see registry/check.h.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "storage/kv/kv.h"

namespace berth::registry {

/// One sentence for each rule of docs/storage-format.md about identities that does not hold somewhere, with where. Names
/// no secret and no hash. Errors: those of the reader, corrupt.
Result<std::vector<std::string>> check_identities(const kv::Reader& reader, std::size_t findings_max);

}  // namespace berth::registry
