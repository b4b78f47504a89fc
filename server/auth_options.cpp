#include "server/auth_options.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <utility>

#include "auth/account_name.h"
#include "auth/htpasswd.h"
#include "auth/secret_file.h"
#include "registry/identities/rules.h"
#include "server/trace_options.h"

namespace berth::server {
namespace {

constexpr std::size_t kSetupSecretBytesMin = 16;

std::chrono::seconds seconds(std::chrono::milliseconds duration) {
  return std::chrono::ceil<std::chrono::seconds>(duration);
}
std::chrono::hours hours(std::chrono::milliseconds duration) { return std::chrono::ceil<std::chrono::hours>(duration); }

bool is_url(std::string_view text) {
  const std::size_t host = text.starts_with("https://") ? 8 : text.starts_with("http://") ? 7 : text.size();
  return host < text.size() && text.find_first_of(" @#\"\\", host) == text.npos && text[host] != '/';
}

std::string detail(const Error& error) { return error.log_detail.empty() ? std::string() : ": " + error.log_detail; }

/// Makes the options and gathers what is wrong.
class Mapper {
 public:
  Mapper(const config::Settings& settings, std::vector<config::Finding>& findings)
      : settings_(settings), auth_(settings.auth), findings_(findings) {}

  auth::AuthOptions run() {
    options_.enabled = config::accounts_on(auth_);
    options_.public_url = settings_.public_url;
    options_.htpasswd_file = auth_.htpasswd;
    options_.credential_lifetime = seconds(auth_.credential_lifetime);
    options_.credential_lifetime_max = seconds(auth_.credential_lifetime_max);
    if (auth_.credential_lifetime_max.count() > 0 && auth_.credential_lifetime > auth_.credential_lifetime_max)
      wrong("auth.credential_lifetime",
            "is longer than auth.credential_lifetime_max; expected at most that");
    methods();
    passwords();
    token();
    ldap();
    for (std::size_t i = 0; i < auth_.oidc.size(); ++i) issuer(i);
    for (std::size_t i = 0; i < auth_.certificates.size(); ++i) certificate(i);
    for (std::size_t i = 0; i < settings_.roles.size(); ++i) role(i);
    for (std::size_t i = 0; i < settings_.grants.size(); ++i) grant(i);
    for (const auto& [path, name] : roles_used_) known_role(path, name);
    if (auth_.anonymous == "pull")
      options_.grants.push_back({.subjects = {std::string(auth::kAnonymous)},
                                 .repositories = {registry::RepositoryPattern::everything()},
                                 .actions = {auth::Action::pull},
                                 .origin = "config"});
    setup_secret();
    return std::move(options_);
  }

 private:
  void wrong(std::string path, std::string what) { findings_.push_back({std::move(path), std::move(what)}); }

  /// Adds the finding; false when there is one.
  bool good(const std::string& path, const Result<void>& checked) {
    if (!checked) wrong(path, checked.error().message);
    return checked.has_value();
  }

  bool sets_up(std::string_view method) const {
    if (method == "htpasswd") return !auth_.htpasswd.empty();
    if (method == "ldap") return auth_.ldap.on;
    if (method == "oidc") return !auth_.oidc.empty();
    return true;  // berth's own are always there
  }

  void methods() {
    using Method = auth::PasswordMethod;
    constexpr std::pair<std::string_view, Method> kMethods[] = {
        {"users", Method::users},   {"htpasswd", Method::htpasswd}, {"robots", Method::robots},
        {"tokens", Method::tokens}, {"oidc", Method::oidc},         {"ldap", Method::ldap}};
    if (auth_.methods.empty()) {
      for (const auto& [name, method] : kMethods)
        if (sets_up(name)) options_.methods.push_back(method);
      return;
    }
    for (std::size_t i = 0; i < auth_.methods.size(); ++i) {
      for (const auto& [name, method] : kMethods)
        if (name == auth_.methods[i]) options_.methods.push_back(method);
      if (!sets_up(auth_.methods[i]))
        wrong(fmt::format("auth.methods[{}]", i),
              fmt::format("{} is not set up; expected auth.{} as well, or this one left out", auth_.methods[i],
                          auth_.methods[i]));
    }
    // Not oidc: its tokens come in otherwise as well.
    for (const std::string_view name : {"htpasswd", "ldap"})
      if (sets_up(name) && std::find(auth_.methods.begin(), auth_.methods.end(), name) == auth_.methods.end())
        wrong(fmt::format("auth.{}", name),
              fmt::format("has no effect: auth.methods leaves it out; expected {} among them", name));
  }

  void passwords() {
    const auto& from = auth_.password;
    options_.passwords.workers = from.workers;
    options_.passwords.queue_max = from.queue;
    options_.passwords.cost = {.iterations = static_cast<std::uint32_t>(from.iterations),
                               .memory_kib = static_cast<std::uint32_t>(from.memory_bytes >> 10),
                               .lanes = static_cast<std::uint32_t>(from.lanes)};
    options_.verified.lifetime = seconds(from.remember);
    options_.verified.entries_max = from.remembered;
    const auto& login = auth_.login;
    const auto bucket = [](std::uint64_t failures, std::chrono::milliseconds refill) {
      return auth::LoginThrottle::Bucket{.free_failures = static_cast<double>(failures), .refill = seconds(refill)};
    };
    options_.throttle.pair = bucket(login.failures, login.failures_refill);
    options_.throttle.account = bucket(login.account_failures, login.account_failures_refill);
    options_.throttle.address = bucket(login.address_failures, login.address_failures_refill);
    options_.throttle.first_wait = seconds(login.first_wait);
    options_.throttle.longest_wait = seconds(login.longest_wait);
    if (login.first_wait > login.longest_wait)
      wrong("auth.login.first_wait", "is longer than auth.login.longest_wait; expected at most that");
  }

  void token() {
    const auto& from = auth_.token;
    auto& to = options_.token;
    to.realm = from.realm;
    to.service = from.service;
    to.lifetime = seconds(from.lifetime);
    to.algorithm = from.algorithm;
    to.key_rotation = hours(from.key_rotation);
    to.refresh_lifetime = hours(from.refresh_lifetime);
    url("auth.token.realm", from.realm);
    const auto& outside = auth_.outside_token_server;
    if (!outside.on) return;
    to.outside = auth::OutsideTokenServer{.realm = outside.realm,
                                          .service = outside.service,
                                          .issuer = outside.issuer,
                                          .root_certificates_file = outside.root_certificates,
                                          .jwks_file = outside.jwks};
    url("auth.outside_token_server.realm", outside.realm);
    if (outside.root_certificates.empty() && outside.jwks.empty())
      wrong("auth.outside_token_server", "names no keys; expected root_certificates or jwks");
  }

  void url(const std::string& path, const std::string& text) {
    if (!text.empty() && !is_url(text)) wrong(path, "is no URL; expected as https://auth.example.com/token");
  }

  void ldap() {
    const auto& from = auth_.ldap;
    if (!from.on) return;
    auth::LdapOptions to;
    to.endpoint.urls = from.url;
    to.endpoint.start_tls = from.start_tls;
    to.endpoint.ca_file = from.ca;
    to.endpoint.connect_timeout = from.connect_timeout;
    to.bind_dn = from.bind_dn;
    to.bind_password_file = from.bind_password_file;
    to.user_base = from.user_base;
    to.user_filter = from.user_filter;
    to.name_attribute = from.user_attribute;
    to.group_base = from.group_base;
    to.group_filter = from.group_filter;
    to.group_attribute = from.group_attribute;
    to.timeout = from.timeout;
    to.workers = from.workers;
    to.waiting_max = from.queue;
    options_.outside_identity_lifetime = seconds(from.remember);
    good("auth.ldap", auth::check_ldap_options(to));
    options_.ldap = std::move(to);
  }

  void issuer(std::size_t index) {
    const auto& from = auth_.oidc[index];
    const std::string path = fmt::format("auth.oidc[{}]", index);
    const std::size_t before = findings_.size();
    auth::OidcIssuer to;
    to.name = from.name;
    to.issuer = from.issuer;
    to.audiences = from.audience;
    to.jwks_url = from.jwks_url;
    to.ca_file = from.ca;
    to.token_file = from.token_file;
    to.reach = from.reach == "anywhere" ? Reach::anywhere
               : from.reach == "private" ? Reach::private_network
                                         : Reach::internet;
    to.allow_http = from.allow_http;
    to.timeout = from.timeout;
    to.leeway = seconds(from.leeway);
    for (std::size_t i = 0; i < from.rules.size(); ++i) {
      to.rules.push_back(rule(fmt::format("{}.rules[{}]", path, i), from.rules[i]));
      good(fmt::format("{}.rules[{}]", path, i), auth::check_rule(to.rules.back(), to.name));
    }
    if (findings_.size() == before) good(path, auth::check_oidc_issuer(to));
    for (std::size_t i = 0; i < index; ++i) {
      if (auth_.oidc[i].name == from.name)
        wrong(path + ".name", fmt::format("{} stands there twice; expected each name once", from.name));
      if (auth_.oidc[i].issuer == from.issuer)
        wrong(path + ".issuer", fmt::format("{} stands there twice; expected each issuer once", from.issuer));
    }
    options_.oidc.push_back(std::move(to));
  }

  auth::ClaimRule rule(const std::string& path, const config::OidcRuleSettings& from) {
    auth::ClaimRule to{.claims = from.claims, .subject = from.subject, .groups = from.groups};
    for (std::size_t i = 0; i < from.roles.size(); ++i) {
      const std::string place = fmt::format("{}.roles[{}]", path, i);
      roles_used_.emplace_back(place + ".role", from.roles[i].role);
      to.roles.push_back({.role = from.roles[i].role,
                          .repositories = repositories(place + ".repositories", from.roles[i].repositories)});
    }
    return to;
  }

  void certificate(std::size_t index) {
    const auto& from = auth_.certificates[index];
    const std::string path = fmt::format("auth.certificates[{}]", index);
    if (from.subject.empty() && from.san.empty())
      wrong(path, "would let in everybody with a certificate; expected subject or san (`*` is any)");
    std::string identity = from.identity;
    if (const auto at = identity.find("{cn}"); at != std::string::npos) identity.replace(at, 4, "x");
    const auto kind = registry::parse_subject(registry::lower_case_subject(identity));
    using Kind = registry::SubjectKind;
    if (!kind || (*kind != Kind::user && *kind != Kind::robot && *kind != Kind::certificate))
      wrong(path + ".identity", fmt::format("{} is nobody; expected user:NAME, robot:NAME or certificate:NAME, in which "
                                            "{{cn}} stands for the common name",
                                            from.identity));
    for (std::size_t i = 0; i < from.groups.size(); ++i)
      if (!auth::account_name(from.groups[i]))
        wrong(fmt::format("{}.groups[{}]", path, i), fmt::format("{} is no name of a group", from.groups[i]));
    const bool asked = std::any_of(settings_.listeners.begin(), settings_.listeners.end(), [](const auto& listener) {
      return listener.tls.on && listener.tls.client_certificates != "none";
    });
    if (!asked && index == 0)
      wrong("auth.certificates", "no listener asks for a client certificate; expected `client_ca: ca.pem, "
                                 "client_certificates: optional` in the tls of one");
    options_.certificates.push_back(
        {.subject = from.subject, .san = from.san, .identity = from.identity, .groups = from.groups});
  }

  void role(std::size_t index) {
    const auto& from = settings_.roles[index];
    const std::string path = fmt::format("roles[{}].name", index);
    if (auth::account_name(from.name) != from.name)
      wrong(path, fmt::format("\"{}\" is no name; expected lower-case letters and digits, with . _ @ - between them",
                              from.name));
    if (registry::find_built_in_role(from.name))
      wrong(path, fmt::format("{} is a built-in role and cannot be changed; expected another name", from.name));
    if (!role_names_.insert(from.name).second)
      wrong(path, fmt::format("{} stands there twice; expected each role once", from.name));
    options_.roles.push_back({.name = from.name, .actions = actions(from.actions)});
  }

  void grant(std::size_t index) {
    const auto& from = settings_.grants[index];
    const std::string path = fmt::format("grants[{}]", index);
    auth::Grant to;
    to.origin = "config";
    for (std::size_t i = 0; i < from.subjects.size(); ++i) {
      to.subjects.push_back(registry::lower_case_subject(from.subjects[i]));
      if (!registry::parse_subject(to.subjects.back()))
        wrong(fmt::format("{}.subjects[{}]", path, i),
              fmt::format("{} is nobody; expected user:NAME, robot:NAME, group:NAME, federated:ISSUER:SUB, "
                          "certificate:NAME, authenticated or anonymous",
                          from.subjects[i]));
    }
    to.repositories = repositories(path + ".repositories", from.repositories);
    for (std::size_t i = 0; i < from.tags.size(); ++i) {
      auto pattern = registry::TagPattern::parse(from.tags[i]);
      if (pattern)
        to.tags.push_back(*std::move(pattern));
      else
        wrong(fmt::format("{}.tags[{}]", path, i), pattern.error().message);
    }
    if (from.role.empty() == from.actions.empty())
      wrong(path, from.role.empty() ? "says nothing that may be done; expected role or actions"
                                    : "has both role and actions; expected one of them");
    to.role = from.role;
    to.actions = actions(from.actions);
    if (!from.role.empty()) roles_used_.emplace_back(path + ".role", from.role);
    options_.grants.push_back(std::move(to));
  }

  std::vector<registry::RepositoryPattern> repositories(const std::string& path,
                                                        const std::vector<std::string>& texts) {
    std::vector<registry::RepositoryPattern> patterns;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      auto pattern = registry::RepositoryPattern::parse(texts[i]);
      if (pattern)
        patterns.push_back(*std::move(pattern));
      else
        wrong(fmt::format("{}[{}]", path, i), pattern.error().message);
    }
    return patterns;
  }

  /// The names were checked when they were read.
  static auth::Actions actions(const std::vector<std::string>& names) {
    auth::Actions set;
    for (const auto& name : names)
      if (const auto action = auth::parse_action(name)) set |= {*action};
    return set;
  }

  void known_role(const std::string& path, const std::string& name) {
    if (registry::find_built_in_role(name) || role_names_.contains(name)) return;
    std::vector<std::string_view> names;
    for (const auto& role : registry::kBuiltInRoles) names.push_back(role.name);
    names.insert(names.end(), role_names_.begin(), role_names_.end());
    wrong(path, fmt::format("{} is no role here; expected one of {}, or a role of that name under `roles`", name,
                            fmt::join(names, ", ")));
  }

  void setup_secret() {
    std::string path = "environment setup secret";
    options_.setup_secret = auth_.setup_secret;
    if (!auth_.setup_secret_file.empty()) {
      if (!auth_.setup_secret.empty())
        wrong("auth.setup_secret_file",
              fmt::format("is set, and so is {}; expected one of them", config::kSetupSecretName));
      path = "auth.setup_secret_file";
      auto secret = auth::read_secret_file(auth_.setup_secret_file);
      if (!secret) return wrong(path, secret.error().message + detail(secret.error()));
      options_.setup_secret = *std::move(secret);
    }
    if (!options_.setup_secret.empty() && options_.setup_secret.size() < kSetupSecretBytesMin)
      wrong(path, fmt::format("the set-up secret is short enough to be guessed; expected at least {} characters",
                              kSetupSecretBytesMin));
  }

  const config::Settings& settings_;
  const config::AuthSettings& auth_;
  std::vector<config::Finding>& findings_;
  auth::AuthOptions options_;
  std::set<std::string> role_names_;
  std::vector<std::pair<std::string, std::string>> roles_used_;  ///< path and name
};

/// The file's text, or why there is none.
Result<std::string> read_text(const std::string& path, std::size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return make_error(ErrorCode::request_invalid, fmt::format("{} cannot be read: {}", path, std::strerror(errno)));
  std::string text(bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.gcount() == 0 && !file.eof()))
    return make_error(ErrorCode::request_invalid, fmt::format("{} cannot be read", path));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > bytes_max)
    return make_error(ErrorCode::request_invalid, fmt::format("{} is larger than {} bytes", path, bytes_max));
  return text;
}

}  // namespace

auth::AuthOptions auth_options(const config::Settings& settings, std::vector<config::Finding>& findings) {
  return Mapper(settings, findings).run();
}

std::vector<config::Finding> check_settings(const config::Settings& settings) {
  constexpr std::size_t kFileBytesMax = 4 << 20;
  std::vector<config::Finding> findings;
  const auto& auth = settings.auth;
  check_tracing(settings, findings);
  if (!config::accounts_on(auth)) return findings;
  auth_options(settings, findings);
  const auto readable = [&findings](const std::string& path, const std::string& file) {
    if (file.empty()) return;
    if (const auto text = read_text(file, kFileBytesMax); !text) findings.push_back({path, text.error().message});
  };
  if (!auth.htpasswd.empty()) {
    const auto text = read_text(auth.htpasswd, auth::Htpasswd::kFileSizeMax);
    const auto parsed = text ? auth::Htpasswd::parse(*text, auth.htpasswd) : Result<auth::Htpasswd>(text.error());
    if (!parsed) findings.push_back({"auth.htpasswd", parsed.error().message});
  }
  readable("auth.ldap.ca", auth.ldap.ca);
  readable("auth.ldap.bind_password_file", auth.ldap.bind_password_file);
  readable("auth.outside_token_server.root_certificates", auth.outside_token_server.root_certificates);
  readable("auth.outside_token_server.jwks", auth.outside_token_server.jwks);
  for (std::size_t i = 0; i < auth.oidc.size(); ++i) {
    readable(fmt::format("auth.oidc[{}].ca", i), auth.oidc[i].ca);
    readable(fmt::format("auth.oidc[{}].token_file", i), auth.oidc[i].token_file);
  }
  return findings;
}

}  // namespace berth::server
