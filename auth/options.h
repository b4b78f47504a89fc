// What an operator says about who may come in: plain values, made of the settings by server/, used by the parts of auth/.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "auth/actions.h"
#include "auth/ldap.h"
#include "auth/oidc.h"
#include "auth/passwords.h"
#include "auth/policy.h"
#include "auth/throttle.h"
#include "auth/verified_cache.h"

namespace berth::auth {

/// Ways to come in with a name and a password (Basic, and the token endpoint), tried in the configured order. A method
/// that knows the name and says no ends the search; one that does not know it lets the next one try.
enum class PasswordMethod : std::uint8_t { users, htpasswd, robots, tokens, oidc, ldap };

/// Who the holder of a client certificate is. All patterns that are given must match; `*` is any text.
struct CertificateRule {
  std::string subject = {};  ///< pattern over the RFC 2253 text; empty: any
  std::string san = {};      ///< pattern over "dns:…", "uri:…" and "email:…"; one must match; empty: any
  std::string identity;      ///< `user:NAME`, `robot:NAME` or `certificate:NAME`; `{cn}` stands for the common name
  std::vector<std::string> groups = {};  ///< names
};

/// An outside token server in place of berth's own (distribution's `auth.token`).
struct OutsideTokenServer {
  std::string realm;
  std::string service;
  std::string issuer;
  std::string root_certificates_file = {};  ///< PEM
  std::string jwks_file = {};
};

struct TokenServiceOptions {
  std::string realm = {};    ///< URL of the token endpoint; empty: made of public_url or of the request's Host
  std::string service = {};  ///< the audience; empty: made of public_url or of the request's Host
  std::chrono::seconds lifetime{300};
  std::string algorithm = "ES256";
  std::chrono::hours key_rotation{24 * 30};
  std::chrono::hours refresh_lifetime{24 * 30};  ///< of refresh tokens; 0: none are given
  std::optional<OutsideTokenServer> outside = {};
};

struct AuthOptions {
  bool enabled = false;  ///< off: whoever reaches a listener may do everything there, and no credential is looked at
  std::vector<PasswordMethod> methods = {};
  std::string htpasswd_file = {};
  std::optional<LdapOptions> ldap = {};
  std::vector<OidcIssuer> oidc = {};
  std::vector<CertificateRule> certificates = {};
  TokenServiceOptions token = {};
  std::vector<Role> roles = {};    ///< of the configuration
  std::vector<Grant> grants = {};  ///< of the configuration, `anonymous: pull` among them
  std::string setup_secret = {};   ///< makes the first administrator, once; empty: no such way
  std::chrono::seconds credential_lifetime{90 * 86400};      ///< of robot secrets and personal tokens that name none
  std::chrono::seconds credential_lifetime_max{0};           ///< 0: none; else "never" is refused too
  PasswordChecker::Options passwords = {};
  VerifiedCache::Options verified = {};
  LoginThrottle::Options throttle = {};
  std::chrono::seconds outside_identity_lifetime{60};  ///< how long the directory's word about a user's groups is kept
  std::string public_url = {};
};

}  // namespace berth::auth
