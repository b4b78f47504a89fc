// What a machine that uses the registry needs: files, and commands that make its programs read them.
#pragma once

#include <string>

#include "cli/cli.h"
#include "cli/commands.h"

namespace berth::cli {

struct ClientConfigCall {
  std::string client;     ///< docker containerd podman k3s
  std::string address;    ///< URL; empty: as the settings say
  std::string ca_file;    ///< PEM; empty: the ca.crt beside the certificate of the settings, if that is signed by it
  std::string mirror_of;  ///< a registry that is asked after berth; empty: none
  config::Sources sources;
  Output output = Output::table;
};

/// Prints it; nothing is written to the machine. Answers an ExitCode.
int client_config(const ClientConfigCall& call, const Program& program);

}  // namespace berth::cli
