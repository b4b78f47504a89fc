// `berth config …`, `berth health`, `berth version`: what needs the settings at most.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/answers.h"
#include "cli/commands.h"
#include "cli/http_client.h"

namespace berth::cli {
namespace {

/// The URL of /readyz for a listener: a wildcard is asked on loopback.
std::string readyz_url(const config::HostPort& address, bool tls) {
  std::string host = address.host;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return (tls ? "https://" : "http://") + host + ":" + std::to_string(address.port) + "/readyz";
}

/// A probe has no certificate of its own.
bool serves_health(const config::ListenerSettings& listener) {
  return listener.tls.client_certificates != "required" &&
         std::find(listener.serve.begin(), listener.serve.end(), "health") != listener.serve.end();
}

/// What a server says of itself in a line, for a terminal.
std::string one_line(const std::string& body) { return harmless(body.substr(0, std::min<std::size_t>(body.find('\n'), 200))); }

}  // namespace

int config_check(const config::Sources& sources, const Program& program) {
  auto loaded = config::load(sources);
  if (!loaded) {
    program.err << loaded.error().message << '\n';
    return kCheckFailed;
  }
  // Who forgot to say which file shall not believe that it was read.
  program.err << (sources.file ? *sources.file + ": the settings are good\n"
                               : "the settings are good; no file was read (--config or BERTH_CONFIG names one)\n");
  return kOk;
}

int config_print(const config::Sources& sources, const Program& program) {
  auto text = config::print(sources);
  if (!text) {
    program.err << text.error().message << '\n';
    return kUsage;
  }
  program.out << *text;
  return kOk;
}

int config_schema(const Program& program) {
  program.out << config::json_schema();
  return kOk;
}

int config_reference(const Program& program) {
  program.out << config::markdown_reference();
  return kOk;
}

int health(const HealthCall& call, const Program& program) {
  HttpRequest request;
  request.timeout = call.timeout;
  request.use_proxy = false;  // a probe means this server, not what a proxy says of it
  request.url = call.url;
  if (request.url.empty()) {
    std::string address = call.address;
    bool tls = false;
    if (address.empty()) {
      auto settings = config::load(call.sources);
      if (!settings) {
        program.err << settings.error().message << '\n';
        return kUsage;
      }
      auto found = std::find_if(settings->listeners.begin(), settings->listeners.end(), serves_health);
      if (found == settings->listeners.end()) {
        program.err << "berth: no listener of the settings serves health to a client without a certificate; say --address "
                       "or --url\n";
        return kUsage;
      }
      address = found->address;
      tls = found->tls.on;
    }
    auto parsed = config::parse_host_port(address);
    if (!parsed || parsed->port == 0) {
      program.err << "berth: " << address << ": "
                  << (parsed ? "port 0 cannot be asked; say --address or --url" : parsed.error().message) << '\n';
      return kUsage;
    }
    request.url = readyz_url(*parsed, tls);
    // The certificate is for the name that others use; here the address itself says who answers.
    request.verify = false;
  }
  auto answered = send(request);
  if (auto* gone = std::get_if<Unreachable>(&answered)) {
    program.err << "berth: " << request.url << ": " << gone->reason << '\n';
    return kUnreachable;
  }
  const auto& answer = std::get<HttpAnswer>(answered);
  if (answer.status == 200) {
    // "ok, read-only": ready, and yet something to say.
    const auto line = one_line(answer.body);
    program.out << "ready" << (line.starts_with("ok,") ? line.substr(2) : "") << '\n';
    return kOk;
  }
  program.err << "berth: " << request.url << ": not ready (" << answer.status << ")"
              << (answer.body.empty() ? "" : ": " + one_line(answer.body)) << '\n';
  return kCheckFailed;
}

int show_version(Output output, const Program& program) {
  if (output == Output::json)
    program.out << nlohmann::json{{"version", program.version}}.dump() << '\n';
  else
    program.out << "berth " << program.version << '\n';
  return kOk;
}

}  // namespace berth::cli
