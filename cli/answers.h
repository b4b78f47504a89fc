// What goes to a server and what comes back, for a person at a terminal and for scripts.
#pragma once

#include <string>

#include "cli/cli.h"
#include "cli/http_client.h"

namespace berth::cli {

/// For a terminal: what a server answers may hold anything.
std::string harmless(std::string text);
/// As it stands in a query or as one segment of a path.
std::string encode(const std::string& text);
/// "https://host:port", without anything after it.
bool may_be_server(const std::string& url);
std::string wrong_server(const std::string& server);

int code_of(long status);

/// "berth: WHAT: why", in the server's own words if it said any. Answers the ExitCode.
int report(const std::string& what, const HttpAnswer& answer, const Program& program);
int report(const std::string& what, const Unreachable& gone, const Program& program);
/// "berth: WHAT". Answers kUsage.
int usage(const std::string& what, const Program& program);

}  // namespace berth::cli
