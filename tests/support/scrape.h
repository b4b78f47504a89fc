// What a scrape says, for tests of what is counted: differences, because everything is counted for the whole process.
#pragma once

#include <map>
#include <sstream>
#include <string>

#include "base/metrics.h"

namespace berth::test {

/// Series as a scrape writes them, `berth_pushes_total{type="image",result="ok"}`, and their values.
inline std::map<std::string, double> scrape() {
  std::map<std::string, double> series;
  std::istringstream lines(metrics::scrape_text());
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.rfind(' ');
    if (line.empty() || line.front() == '#' || space == std::string::npos) continue;
    series[line.substr(0, space)] = std::stod(line.substr(space + 1));
  }
  return series;
}

/// What changed since it was made.
class Changes {
 public:
  /// By how much; a series that is not there counts as 0 and is no different from one that is.
  double of(const std::string& series) const {
    const auto now = scrape();
    return value(now, series) - value(before_, series);
  }
  /// Every series that begins with `prefix` and changed.
  std::map<std::string, double> all(const std::string& prefix) const {
    std::map<std::string, double> changed;
    for (const auto& [name, after] : scrape()) {
      if (!name.starts_with(prefix)) continue;
      const double difference = after - value(before_, name);
      if (difference != 0) changed[name.substr(prefix.size())] = difference;
    }
    return changed;
  }

 private:
  static double value(const std::map<std::string, double>& series, const std::string& name) {
    const auto found = series.find(name);
    return found == series.end() ? 0 : found->second;
  }
  std::map<std::string, double> before_ = scrape();
};

}  // namespace berth::test
