// YAML as a small tree in which every node knows its line and column. Bounded in size, depth and number of nodes;
// anchors, aliases, tags and second documents are refused, because a configuration needs none and each is a way to
// surprise its reader.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::config {

inline constexpr std::size_t kFileBytesMax = 1 << 20;
inline constexpr std::size_t kYamlDepthMax = 16;
inline constexpr std::size_t kYamlNodesMax = 50'000;

struct Node {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  std::string text;         ///< of a scalar
  std::vector<Node> items;  ///< of a list; of a map: key, value, key, value…
  int line = 0;             ///< from 1
  int column = 0;           ///< from 1
};

/// Parses one document; empty text is a null node. Duplicate keys are kept for the caller to report. Errors:
/// request_invalid, "LINE:COLUMN: what was wrong".
Result<Node> parse_yaml(std::string_view text);

}  // namespace berth::config
