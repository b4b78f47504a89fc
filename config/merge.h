// Reading all sources into one Settings, with the origin of each value. Used by load() and print().
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.h"

namespace berth::config {

/// Where a value came from.
struct Spot {
  std::string source = "default";  ///< file as given, "environment BERTH__…", "command line"
  int line = 0;                    ///< 0: the source has no lines
  int column = 0;
  std::string exact() const;  ///< "berth.yaml:7:3"
  std::string brief() const;  ///< "berth.yaml:7"
};

struct Merged {
  Settings settings;
  std::map<std::string, Spot, std::less<>> origins;  ///< by path; absent: default
  std::vector<std::string> problems;                 ///< one line each
};

Merged merge(const Sources& sources);

}  // namespace berth::config
