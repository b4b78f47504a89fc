// `berth doctor`: what is wrong with this machine, these settings, these certificates and what clients see, and what to do.
#pragma once

#include <chrono>
#include <string>

#include "cli/cli.h"
#include "cli/commands.h"

namespace berth::cli {

struct DoctorCall {
  config::Sources sources;
  std::string url;      ///< what clients call the registry; empty: public_url
  std::string ca_file;  ///< PEM; trusted beside the system's roots
  std::chrono::milliseconds timeout = std::chrono::seconds(5);
  bool offline = false;  ///< connect to nobody
  Output output = Output::table;
};

/// Changes nothing. Answers kOk, with warnings at most, or kCheckFailed.
int doctor(const DoctorCall& call, const Program& program);

}  // namespace berth::cli
