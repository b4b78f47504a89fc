// One connection to an LDAP directory (RFC 4511), over libldap. Every call blocks, and ends by its deadline.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct ldap;

namespace berth::auth {

class LdapWatch;

/// When a call must have ended.
using LdapDeadline = std::chrono::steady_clock::time_point;

struct LdapEndpoint {
  std::vector<std::string> urls;  ///< ldap://host[:port] or ldaps://host[:port]; tried in order
  bool start_tls = true;          ///< of ldap://: without it passwords are sent in clear
  std::string ca_file = {};       ///< PEM; empty: the system's roots
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(3);  ///< to one of them
};

struct LdapEntry {
  std::string dn;
  std::vector<std::string> values;  ///< of the attribute that was asked for
};

/// For one thread at a time. After an error `unavailable` it is of no more use.
class LdapConnection {
 public:
  /// Connected, and under TLS as the endpoint says. Errors: unavailable, with the reason in `log_detail`.
  static Result<std::unique_ptr<LdapConnection>> open(const LdapEndpoint& endpoint, LdapDeadline deadline);
  LdapConnection(const LdapConnection&) = delete;
  LdapConnection& operator=(const LdapConnection&) = delete;
  ~LdapConnection();

  /// A simple bind; also again, as somebody else. Neither may be empty: such a bind succeeds and proves nothing (RFC
  /// 4513 §5.1.2). Errors: unauthorized (the directory says no to these credentials), unavailable.
  Result<void> bind(const std::string& dn, std::string_view password, LdapDeadline deadline);

  /// Entries below `base`, `count_max` at most. Errors: request_too_large (there are more), unavailable.
  Result<std::vector<LdapEntry>> search(const std::string& base, const std::string& filter,
                                        const std::string& attribute, int count_max, LdapDeadline deadline);

 private:
  LdapConnection();
  Result<void> start(const std::string& url, const LdapEndpoint& endpoint, LdapDeadline deadline);
  Result<void> set_deadline(LdapDeadline deadline, std::chrono::milliseconds at_most);
  Error failed(const char* what, int code) const;

  std::unique_ptr<LdapWatch> watch_;  ///< the handle knows it
  ldap* handle_ = nullptr;
};

}  // namespace berth::auth
