#include <spdlog/fmt/fmt.h>

#include "cli/doctor/checks.h"

namespace berth::cli {

void judge_outside(const std::vector<OutsideService>& services, Findings& findings) {
  using Kind = OutsideService::Kind;
  for (const auto& service : services) {
    const auto problem = fmt::format("{}: {}", service.name, service.problem);
    switch (service.kind) {
      case Kind::directory:
        if (service.problem.empty())
          findings.ok("outside.directory", service.name + " answers searches for users and groups");
        else
          findings.problem("outside.directory", problem + "; its users cannot log in",
                           "compare auth.ldap with what the directory's administrator says, and look whether a firewall lets "
                           "this machine through");
        break;
      case Kind::issuer:
        if (service.problem.empty())
          findings.ok("outside.issuer", service.name + " gives the keys of its tokens");
        else
          findings.problem("outside.issuer", problem + "; its tokens will be refused",
                           "compare auth.oidc with what the issuer says of itself below /.well-known/openid-configuration, and "
                           "look whether a firewall lets this machine through");
        break;
      case Kind::collector:
        if (service.problem.empty())
          findings.ok("outside.collector", service.name + " takes spans");
        else
          findings.warning("outside.collector", problem + "; traces are lost",
                           "is tracing.endpoint right, does tracing.headers_file hold what the collector wants, and does it run?");
        break;
    }
  }
}

}  // namespace berth::cli
