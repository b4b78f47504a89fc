// The header Authorization (RFC 9110 §11.6.2): which kind of credential, and its text.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/result.h"

namespace berth::auth {

struct NoCredential {};
/// RFC 7617.
struct BasicCredential {
  std::string user;
  std::string password;
};
/// RFC 6750.
struct BearerCredential {
  std::string token;
};
using ShownCredential = std::variant<NoCredential, BasicCredential, BearerCredential>;

/// `headers` are the values of all headers of that name. Basic with neither name nor password is no credential: clients
/// that have none send it. Errors: unauthorized (several headers, another scheme, malformed).
Result<ShownCredential> parse_authorization(const std::vector<std::string>& headers);

}  // namespace berth::auth
