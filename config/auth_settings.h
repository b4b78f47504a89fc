// What an operator may set about who may come in and who may do what.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace berth::config {

/// A role that federation gives, and where it holds.
struct OidcRoleSettings {
  std::string role;
  std::vector<std::string> repositories;  ///< patterns
};

struct OidcRuleSettings {
  std::map<std::string, std::vector<std::string>> claims;  ///< by name or JSON pointer: patterns
  std::string subject;
  std::vector<std::string> groups;
  std::vector<OidcRoleSettings> roles;
};

struct OidcSettings {
  std::string name;
  std::string issuer;
  std::vector<std::string> audience;
  std::string jwks_url;
  std::string ca;          ///< PEM file
  std::string token_file;
  std::string reach = "internet";  ///< internet private anywhere
  bool allow_http = false;
  std::chrono::milliseconds timeout = std::chrono::seconds(5);
  std::chrono::milliseconds leeway = std::chrono::seconds(60);
  std::vector<OidcRuleSettings> rules;
};

struct CertificateSettings {
  std::string subject;
  std::string san;
  std::string identity;
  std::vector<std::string> groups;
};

struct AuthSettings {
  bool users = false;
  std::vector<std::string> methods;  ///< empty: all that are set up
  std::string htpasswd;              ///< file
  std::string anonymous = "none";    ///< none pull
  std::string setup_secret_file;
  std::string setup_secret;  ///< of the environment, never of the file; no key, so that nothing prints it
  std::chrono::milliseconds credential_lifetime = std::chrono::hours(24 * 90);
  std::chrono::milliseconds credential_lifetime_max{0};  ///< 0 = none

  struct Token {
    std::string realm;
    std::string service;
    std::chrono::milliseconds lifetime = std::chrono::minutes(5);
    std::string algorithm = "ES256";  ///< ES256 RS256 EdDSA
    std::chrono::milliseconds key_rotation = std::chrono::hours(24 * 30);
    std::chrono::milliseconds refresh_lifetime = std::chrono::hours(24 * 30);  ///< 0 = none are given
  } token;

  struct OutsideTokenServer {
    bool on = false;
    std::string realm;
    std::string service;
    std::string issuer;
    std::string root_certificates;  ///< PEM file
    std::string jwks;               ///< file
  } outside_token_server;

  struct Ldap {
    bool on = false;
    std::vector<std::string> url;
    bool start_tls = true;
    std::string ca;  ///< PEM file
    std::string bind_dn;
    std::string bind_password_file;
    std::string user_base;
    std::string user_filter = "(uid={user})";
    std::string user_attribute = "uid";
    std::string group_base;
    std::string group_filter = "(member={dn})";
    std::string group_attribute = "cn";
    std::chrono::milliseconds timeout = std::chrono::seconds(10);
    std::chrono::milliseconds connect_timeout = std::chrono::seconds(3);
    std::uint64_t workers = 4;
    std::uint64_t queue = 64;
    std::chrono::milliseconds remember = std::chrono::seconds(60);
  } ldap;

  struct Password {
    std::uint64_t memory_bytes = 19 << 20;
    std::uint64_t iterations = 2;
    std::uint64_t lanes = 1;
    std::uint64_t workers = 2;
    std::uint64_t queue = 256;
    std::chrono::milliseconds remember = std::chrono::seconds(60);
    std::uint64_t remembered = 4096;
  } password;

  struct Login {
    std::uint64_t failures = 5;  ///< of one account from one address
    std::chrono::milliseconds failures_refill = std::chrono::seconds(30);
    std::uint64_t account_failures = 10;
    std::chrono::milliseconds account_failures_refill = std::chrono::seconds(60);
    std::uint64_t address_failures = 20;
    std::chrono::milliseconds address_failures_refill = std::chrono::seconds(10);
    std::chrono::milliseconds first_wait = std::chrono::seconds(1);
    std::chrono::milliseconds longest_wait = std::chrono::seconds(30);
  } login;

  std::vector<OidcSettings> oidc;
  std::vector<CertificateSettings> certificates;
};

struct RoleSettings {
  std::string name;
  std::vector<std::string> actions;
};

struct GrantSettings {
  std::vector<std::string> subjects;
  std::vector<std::string> repositories;  ///< patterns
  std::string role;                       ///< either this …
  std::vector<std::string> actions;       ///< … or these
  std::vector<std::string> tags;          ///< patterns; empty: all tags
};

/// Do callers have to say who they are? Else whoever reaches a listener may do everything there.
inline bool accounts_on(const AuthSettings& auth) {
  return auth.users || !auth.htpasswd.empty() || auth.ldap.on || !auth.oidc.empty() || !auth.certificates.empty() ||
         auth.outside_token_server.on;
}

}  // namespace berth::config
