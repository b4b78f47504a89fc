// Federation by OpenID Connect: a token of an issuer that the operator trusts is a credential by itself, so that a
// pipeline or a cluster stores no secret (Kubernetes service accounts, GitHub Actions, GitLab CI).
//
// A token is checked against the keys of its issuer, its audience and its times; then the rules say who its bearer is.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "auth/claim_rules.h"
#include "base/env.h"
#include "base/http_client.h"
#include "base/task.h"

namespace berth::auth {

class IssuerKeys;

struct OidcIssuer {
  std::string name;                    ///< as in `federated:NAME:SUB`
  std::string issuer;                  ///< URL, exactly as tokens have it in `iss`
  std::vector<std::string> audiences;  ///< one must be in `aud`: tokens meant for others are not taken
  std::vector<ClaimRule> rules;
  std::string jwks_url = {};                                    ///< where the keys are; empty: as discovery says
  std::string ca_file = {};                                     ///< PEM, instead of the system's roots
  std::string token_file = {};                                  ///< a Bearer token to ask for the keys with
  Reach reach = Reach::internet;                                ///< of what asks for the keys
  bool allow_http = false;                                      ///< else https alone
  std::chrono::milliseconds timeout = std::chrono::seconds(5);  ///< of a request for the keys
  std::chrono::seconds leeway{60};                              ///< how much the issuer's clock may differ
};

inline constexpr std::size_t kOidcIssuersMax = 32;

/// One by itself, its rules included. Errors: request_invalid, with a sentence for the operator.
Result<void> check_oidc_issuer(const OidcIssuer& issuer);

/// Fetches its keys once, as the first of its tokens would have it; nothing is kept. Errors: unavailable.
Task<void> try_issuer(OidcIssuer issuer, HttpClient& http, Pool& pool, const Clock& clock);

/// Thread-safe.
class OidcFederation {
 public:
  /// `http`, `pool` (which reads token files) and `clock` outlive it. Nothing is fetched before the first token comes.
  /// Errors: request_invalid, with a sentence for the operator.
  static Result<std::unique_ptr<OidcFederation>> create(std::vector<OidcIssuer> issuers, HttpClient& http, Pool& pool,
                                                        const Clock& clock);
  OidcFederation(const OidcFederation&) = delete;
  OidcFederation& operator=(const OidcFederation&) = delete;
  /// Stops.
  ~OidcFederation();

  /// Who the bearer of `jwt` is; `trace` is what wants to know. Errors: unauthorized (not a token, of no issuer here, not good, or no rule matches it;
  /// `log_detail` says which), unavailable (the issuer's keys cannot be had), aborted.
  Task<FederatedIdentity> authenticate(std::string jwt, trace::Parent trace = {}) const;

  /// Ends what waits for keys, while the contexts of those who wait are still there. Idempotent.
  void stop();

 private:
  struct Issuer {
    OidcIssuer options;
    std::shared_ptr<IssuerKeys> keys;
  };
  explicit OidcFederation(const Clock& clock) : clock_(clock) {}

  const Clock& clock_;
  std::map<std::string, Issuer, std::less<>> issuers_;  ///< by URL; const after create()
};

}  // namespace berth::auth
