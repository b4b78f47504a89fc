// What of a request says who is asking, before anybody looked whether it is true.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/span.h"

namespace berth::auth {

/// A certificate that a client proved to hold, vouched for by an authority of its listener's client_ca.
struct ClientCertificate {
  std::string subject;  ///< RFC 2253: "CN=builder,O=Example"
  std::vector<std::string> dns_names;
  std::vector<std::string> uris;
  std::vector<std::string> emails;
};

struct Caller {
  std::vector<std::string> authorization = {};  ///< the headers of that name; more than one is refused
  std::string peer = {};                        ///< the address that failed logins count for
  std::string host = {};                        ///< as in the Host header
  bool secure = false;                          ///< came over TLS
  std::shared_ptr<const ClientCertificate> certificate = nullptr;
  /// Came through the local socket, from a process of berth's own user or of root, as the kernel says.
  bool local = false;
  trace::Parent trace = {};  ///< of the request
};

}  // namespace berth::auth
