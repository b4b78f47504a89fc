// What each command does, given its arguments as plain values. Each answers an ExitCode.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "cli/cli.h"

namespace berth::cli {

enum class Output : std::uint8_t { table, json };

int config_check(const config::Sources& sources, const Program& program);
int config_print(const config::Sources& sources, const Program& program);
int config_schema(const Program& program);
int config_reference(const Program& program);

struct HealthCall {
  std::string url;      ///< asked as it is; empty: from `address`
  std::string address;  ///< host:port; empty: the first listener of the settings that serves health
  config::Sources sources;
  std::chrono::milliseconds timeout = std::chrono::seconds(5);
};
int health(const HealthCall& call, const Program& program);

int show_version(Output output, const Program& program);

}  // namespace berth::cli
