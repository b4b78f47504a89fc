// Versions of the data directory's format, as the command speaks of them.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

namespace berth::cli {

struct DataFormat {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  auto operator<=>(const DataFormat&) const = default;
};

struct DataFormats {
  DataFormat known;                 ///< what this berth reads and writes
  std::optional<DataFormat> there;  ///< what the data has; nothing: it does not say yet
  bool foreign_part = false;        ///< the index has a part that this berth does not know
};

}  // namespace berth::cli
