// Tokens from the first challenge to the last request: where to get one, what it holds, whether it is good.
//
// With an outside token server berth makes no tokens: it points there and takes what comes from there.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/challenge.h"
#include "auth/options.h"
#include "auth/outside_tokens.h"
#include "auth/policy.h"
#include "auth/principal.h"
#include "auth/scope.h"
#include "auth/token_issuer.h"
#include "auth/token_keys.h"
#include "auth/validity.h"
#include "base/env.h"
#include "base/task.h"

namespace berth::registry {
class Identities;
}

namespace berth::auth {

/// The path of berth's own token endpoint.
inline constexpr std::string_view kTokenPath = "/token";
/// VerifiedToken::method of what a refresh token stands for: its owner is one of berth's own users.
inline constexpr std::string_view kRefreshMethod = "refresh_token";

/// Where a request came to: what names berth to clients when no setting does.
struct RequestOrigin {
  std::string host;  ///< as in the Host header
  bool secure = false;
};

struct TokenWish {
  std::string service;  ///< the audience, as service() says
  std::vector<Scope> scopes;
  std::string client_id = {};
  bool refresh_token = false;  ///< asked for
};

struct TokenAnswer {
  std::string subject;  ///< whom it is for, and how that one came in: for the log
  std::string method;
  IssuedToken access = {};
  std::string refresh_token = {};  ///< empty: none
};

/// Thread-safe.
class TokenService {
 public:
  /// All outlive it. `pool` makes keys.
  struct Parts {
    registry::Identities& identities;
    Pool& pool;
    const Clock& clock;
    Entropy& entropy;
  };
  /// Blocks: reads the outside server's files. Errors: request_invalid, io_error, with a sentence for the operator.
  static Result<std::unique_ptr<TokenService>> create(const TokenServiceOptions& options, std::string_view public_url,
                                                      const Parts& parts);
  TokenService(const TokenService&) = delete;

  /// False: an outside token server does.
  bool makes_tokens() const { return outside_ == nullptr; }

  /// What tokens are for. A host that cannot be one makes it "berth".
  std::string service(const RequestOrigin& origin) const;
  /// Errors: request_invalid (the Host header is no name for a token endpoint).
  Result<BearerChallenge> challenge(const RequestOrigin& origin) const;

  /// Is this a good access token for this service? AccessControl says who its bearer is now. Never waits for the disk
  /// once the keys are known. `validity`, if any, outlives the wait and is narrowed to when the answer is the same.
  /// Errors: unauthorized, as verify_jwt(); those of the identities.
  Task<std::shared_ptr<const VerifiedToken>> verify(std::string token, RequestOrigin origin,
                                                    Validity* validity = nullptr);

  /// A token that holds what `policy` and its own ceiling allow the principal of what is wished; a refresh token when
  /// that is wished and may be. Errors: request_invalid (too much for one token), unavailable; those of the identities.
  Task<TokenAnswer> issue(Principal principal, std::shared_ptr<const Policy> policy, TokenWish wish);

  /// The token that stands for the owner of a refresh token, with no access: AccessControl says who that is now.
  /// Errors: unauthorized (no refresh token, not for this service, expired, revoked); those of the identities.
  Task<std::shared_ptr<const VerifiedToken>> redeem(std::string refresh_token, std::string service);

  /// The JWKS. Errors: those of the identities.
  Task<std::string> published_keys();

 private:
  TokenService(const TokenServiceOptions& options, std::string_view public_url, const Parts& parts);
  Task<IssuedToken> make_access_token(Principal principal, std::shared_ptr<const Policy> policy, TokenWish wish);
  Task<std::string> make_refresh_token(Principal principal, TokenWish wish);

  const TokenServiceOptions options_;
  const std::string public_host_;  ///< host[:port] of public_url; may be empty
  const std::string public_base_;  ///< public_url without its final slash; may be empty
  const TokenOptions token_options_;
  const Parts parts_;
  TokenKeys keys_;
  TokenVerifier verifier_;
  std::unique_ptr<OutsideTokens> outside_;  ///< null without
};

}  // namespace berth::auth
