// A certificate authority for development, and a server certificate of it.
#pragma once

#include <string>
#include <vector>

#include "cli/cli.h"

namespace berth::cli {

struct DevCertificatesCall {
  std::string out = "berth-certs";  ///< folder; made when it is missing
  std::vector<std::string> names;   ///< host names and addresses beside localhost, 127.0.0.1 and ::1
  bool force = false;               ///< replace whatever is there
};

/// Writes ca.crt, ca.key, tls.crt and tls.key, all readable by their owner only, and prints how clients come to trust
/// them. An authority that is there is used again and the pair it signed is replaced; a pair of anybody else is not, unless
/// `force` says so, which makes a new authority too. Answers an ExitCode.
int make_dev_certificates(const DevCertificatesCall& call, const Program& program);

}  // namespace berth::cli
