// Between rights and the words of tokens.
#pragma once

#include <span>

#include "auth/policy.h"
#include "auth/principal.h"
#include "auth/scope.h"
#include "auth/token_issuer.h"

namespace berth::auth {

/// What issue_token() may put into a token for this principal: what its grants and its own ceiling allow. Both must
/// outlive the function.
GrantedActions granted_by(const Policy& policy, const Principal& principal);

/// What a token with this access is good for, at most. Entries that name no repository here give nothing, but for
/// registry:catalog:*, which shows names in lists.
Ceiling ceiling_of(std::span<const Scope> access, TokenSource source);

}  // namespace berth::auth
