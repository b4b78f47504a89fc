// What a request shows of who sends it, and what a 401 says: where to get a credential, and for what.
#pragma once

#include <string>
#include <vector>

#include "api/routes.h"
#include "auth/caller.h"
#include "auth/challenge.h"
#include "auth/scope.h"

namespace berth::api {

/// What a token for this request must hold: the wanted repository first, then the source of a mount. Made of the
/// request's text alone.
std::vector<auth::Scope> wanted_scopes(const Route& route, const Request& request,
                                       const std::optional<oci::RepositoryName>& repository);

/// The value of WWW-Authenticate. Bearer below /v2/, when there is a token service that this host can be sent to, else
/// Basic.
std::string challenge_header(const auth::TokenService* tokens, const Request& request,
                             const std::vector<auth::Scope>& scopes, auth::ChallengeError error);

/// What the request shows of who sends it.
auth::Caller caller_of(const Request& request);

/// Whether a refused credential was a token.
bool is_bearer(const Request& request);

}  // namespace berth::api
