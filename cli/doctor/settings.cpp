#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cli/doctor/checks.h"
#include "config/keys.h"

namespace berth::cli {
namespace {

bool serves_registry(const config::ListenerSettings& listener) {
  return std::find(listener.serve.begin(), listener.serve.end(), "registry") != listener.serve.end();
}

void check_exposure(const config::Settings& settings, Findings& findings) {
  const bool accounts = config::accounts_on(settings.auth);
  bool beyond = false;
  for (const auto& listener : settings.listeners) {
    const auto address = config::parse_host_port(listener.address);
    if (!address || !serves_registry(listener) || config::is_loopback(address->host)) continue;
    beyond = true;
    if (!accounts)
      findings.warning("settings.accounts", listener.address + " lets whoever reaches it pull, push and delete: there are no accounts",
                       "set auth.users: true and make an administrator (`berth user add admin --role admin`)");
    if (!listener.tls.on && !listener.tls_elsewhere)
      findings.warning("settings.tls", listener.address + " speaks no TLS: who is on the way reads and changes what passes",
                       "give it tls (`berth certs dev` makes a pair to begin with), or tls_elsewhere when a proxy speaks it");
    const bool wildcard = address->host == "0.0.0.0" || address->host == "::";
    if (accounts && wildcard && settings.public_url.empty() && settings.auth.token.realm.empty())
      findings.warning("settings.public_url",
                       "it is not set: clients are sent to log in below whatever name they called, right or wrong",
                       "set public_url to the address that clients use, as https://registry.example.com");
  }
  if (!beyond && !settings.public_url.empty() && !accounts)
    findings.warning("settings.accounts",
                     settings.public_url + " leads here, and whoever comes that way may pull, push and delete: there are no accounts",
                     "set auth.users: true and make an administrator (`berth user add admin --role admin`)");
}

void check_values(const config::Settings& settings, Findings& findings) {
  if (settings.log.level == "trace" || settings.log.level == "debug")
    findings.warning("settings.log", "log.level is " + settings.log.level + ", which is slow and fills disks",
                     "set log.level to info when you found what you looked for");
  if (settings.collection.grace < std::chrono::hours(1))
    findings.warning("settings.collection",
                     fmt::format("collection.grace is {}: a push that takes longer can find that a layer it relied on is gone",
                                 config::format_duration(settings.collection.grace)),
                     "set it to longer than any push takes; 24h is what it is by itself");
  if (settings.undo.window.count() == 0)
    findings.warning("settings.undo", "undo.window is 0: what is deleted by mistake is gone at once", "set it to some days, as 14d");
  if (settings.auth.ldap.on && !settings.auth.ldap.start_tls &&
      std::any_of(settings.auth.ldap.url.begin(), settings.auth.ldap.url.end(),
                  [](const std::string& url) { return url.starts_with("ldap://"); }))
    findings.warning("settings.ldap", "passwords go to the directory in clear", "set auth.ldap.start_tls: true, or use ldaps://");
  for (const auto& issuer : settings.auth.oidc) {
    if (issuer.allow_http)
      findings.warning("settings.oidc", issuer.name + ": its keys may come without TLS; who is on the way can come in as anybody",
                       "set allow_http: false");
    if (issuer.reach == "anywhere")
      findings.warning("settings.oidc", issuer.name + ": its keys may be asked for anywhere, metadata services of clouds included",
                       "set reach to internet, or to private");
  }
}

/// Files with secrets, which nobody else shall read; without them berth would not start or not let people in.
void check_secret(const std::string& key, const std::string& path, Findings& findings) {
  if (path.empty()) return;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    findings.problem("settings.files", fmt::format("{}: {}: {}", key, path, std::strerror(errno)),
                     "put it there, for the user that runs berth alone");
  else if ((info.st_mode & 0007) != 0)
    findings.warning("settings.files", fmt::format("{}: everybody on this machine may read {} (mode {:04o})", key, path, info.st_mode & 07777),
                     fmt::format("chmod o= {}", path));
}

}  // namespace

void check_settings(const config::Settings& settings, Findings& findings) {
  check_exposure(settings, findings);
  check_values(settings, findings);
  check_secret("auth.setup_secret_file", settings.auth.setup_secret_file, findings);
  check_secret("auth.htpasswd", settings.auth.htpasswd, findings);
  check_secret("auth.ldap.bind_password_file", settings.auth.ldap.bind_password_file, findings);
  check_secret("tracing.headers_file", settings.tracing.headers_file, findings);
  for (const auto& issuer : settings.auth.oidc) check_secret("auth.oidc[].token_file", issuer.token_file, findings);
}

}  // namespace berth::cli
