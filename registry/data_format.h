// Which format a data directory has, asked without opening it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/result.h"

namespace berth::registry {

struct DataFormat {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  bool operator==(const DataFormat&) const = default;
};

struct DataFormats {
  DataFormat known;                 ///< what this berth writes
  std::optional<DataFormat> there;  ///< nothing: the index says none yet
  bool foreign_family = false;      ///< the index has a family that this berth does not know: it refuses to open it
};

/// `index`: the folder of the index, which may be in use. Changes nothing. Blocks. Errors: io_error, corrupt.
Result<DataFormats> read_data_formats(const std::filesystem::path& index);

}  // namespace berth::registry
