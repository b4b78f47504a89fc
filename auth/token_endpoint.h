// The token endpoint without HTTP: from the parameters of a request to a token, or to what is wrong with it.
//
// By GET a client shows its credential in the headers, and whoever shows none gets a token for `anonymous`. By POST
// (RFC 6749, RFC 8693) it shows exactly one in the form. Whoever shows a wrong one gets nothing, never the anonymous
// token. What is asked for and not granted is left out of the token; that is no error.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/logins.h"
#include "auth/token_service.h"

namespace berth::auth {

struct TokenQuestion {
  bool post = false;
  std::vector<std::pair<std::string, std::string>> parameters = {};  ///< of the query or of the form; decoded
  Principal caller = {};   ///< who the headers and the connection say
  bool in_header = false;  ///< the headers hold a credential
  std::string peer = {};
  RequestOrigin origin = {};
  trace::Parent trace = {};  ///< of the request
};

/// Errors: request_invalid, unauthorized, too_many_requests, unavailable and those of the identities. `log_detail` of a
/// request_invalid is the word that OAuth has for it ("invalid_request").
Task<TokenAnswer> answer_token_question(TokenService& tokens, Logins& logins, TokenQuestion question);

/// The JSON of the answer; by POST with what OAuth wants beside it.
std::string token_answer_json(const TokenAnswer& answer, bool post);

}  // namespace berth::auth
