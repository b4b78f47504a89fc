#include "server/outside_services.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <utility>

#include "auth/ldap.h"
#include "auth/oidc.h"
#include "base/env.h"
#include "base/http_client.h"
#include "base/task.h"
#include "server/auth_options.h"
#include "server/trace_exporter.h"
#include "server/trace_options.h"

namespace berth::server {
namespace {

using Kind = OutsideService::Kind;

std::string sentence(const Error& error) {
  return error.log_detail.empty() ? error.message : fmt::format("{} ({})", error.message, error.log_detail);
}

/// Runs it to its end. Empty: all is well.
std::string problem_of(Task<void> asking) {
  asio::io_context io(1);
  std::string problem = "it was given up";
  auto done = [&problem](std::exception_ptr stray, Result<void> result) {
    if (!stray) problem = result ? std::string() : sentence(result.error());
  };
  asio::co_spawn(io, std::move(asking), done);
  io.run();
  return problem;
}

std::string problem_of_directory(auth::LdapOptions options) {
  const auto directory = auth::LdapDirectory::create(std::move(options));
  return directory ? problem_of((*directory)->try_once()) : sentence(directory.error());
}

}  // namespace

std::vector<OutsideService> ask_outside_services(const config::Settings& settings, std::chrono::milliseconds longest) {
  std::vector<OutsideService> asked;
  std::vector<config::Finding> findings;
  const auto options = auth_options(settings, findings);
  if (!findings.empty()) return asked;  // such settings are not served with
  if (options.ldap) {
    // While one is down the others are asked: each must be good.
    for (const auto& url : options.ldap->endpoint.urls) {
      auto one = *options.ldap;
      one.endpoint.urls = {url};
      one.timeout = std::min(one.timeout, longest);
      asked.push_back({Kind::directory, url, problem_of_directory(std::move(one))});
    }
  }
  HttpClient http;
  Pool pool("issuer", 1);
  const SystemClock clock;
  for (auto issuer : options.oidc) {
    issuer.timeout = std::min(issuer.timeout, longest);
    const auto name = fmt::format("{} ({})", issuer.name, issuer.issuer);
    asked.push_back({Kind::issuer, name, problem_of(auth::try_issuer(std::move(issuer), http, pool, clock))});
  }
  pool.stop();
  if (!settings.tracing.endpoint.empty()) {
    auto collector = trace_exporter_options(settings, "doctor");
    collector.timeout = std::min(collector.timeout, longest);
    asked.push_back({Kind::collector, collector.url, try_collector(collector)});
  }
  return asked;
}

}  // namespace berth::server
