// The `berth` command: what a person types. Everything but `serve` works through the HTTP API or on the settings alone.
#pragma once

#include <chrono>
#include <functional>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/data_formats.h"
#include "cli/outside_services.h"
#include "config/settings.h"

namespace berth::cli {

/// Part of the contract with scripts: never renumber.
enum ExitCode : int {
  kOk = 0,
  kFailure = 1,
  kUsage = 2,  ///< wrong arguments or settings
  kNotFound = 3,
  kDenied = 4,
  kConflict = 5,  ///< or refused by policy
  kUnreachable = 6,
  kPartly = 7,       ///< some of it was done
  kCheckFailed = 8,  ///< a check found problems
};

struct ServeCall {
  config::Sources sources;
  std::string port_file;  ///< where to write the ports in use; empty: nowhere
};

/// What a run of the command stands on, so that tests can give it their own.
struct Program {
  std::string version;
  std::function<int(const ServeCall&)> serve;
  std::map<std::string, std::string> environment;
  std::istream& in;
  std::ostream& out;         ///< data
  std::ostream& err;         ///< talk
  bool interactive = false;  ///< a person can answer a question on `in`
  /// Asks a person for something that is not shown; nullopt: nobody can be asked, or they gave up. May be empty.
  std::function<std::optional<std::string>(const std::string& prompt)> read_secret = {};
  /// Looks at settings that were read well (config::Sources::check); empty: nobody does.
  std::vector<config::Finding> (*check)(const config::Settings&) = nullptr;
  /// Looks into a data directory's index, which may be in use; empty: nobody does.
  Result<DataFormats> (*data_formats)(const std::string& index) = nullptr;
  /// Asks what good settings name beside berth itself, each for so long at most; empty: nobody does.
  std::vector<OutsideService> (*outside_services)(const config::Settings&, std::chrono::milliseconds longest) = nullptr;
};

/// Parses the arguments and does what they say. Answers an ExitCode, or what `serve` answered. Throws nothing.
int run(int argc, const char* const* argv, const Program& program);

}  // namespace berth::cli
