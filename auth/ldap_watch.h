// Lets reads and writes of a libldap connection end by a deadline, those of its TLS handshake included: libldap tries
// again at once, and for ever, what a silent peer leaves unanswered there.
#pragma once

#include <ldap.h>

#include <chrono>

namespace berth::auth {

/// Lives as long as the handle that it watches, and never moves.
class LdapWatch {
 public:
  LdapWatch();
  LdapWatch(const LdapWatch&) = delete;
  LdapWatch& operator=(const LdapWatch&) = delete;

  /// Before the handle connects.
  bool attach(ldap* handle);
  void set_deadline(std::chrono::steady_clock::time_point deadline) { deadline_ = deadline; }

 private:
  /// What libldap calls: a layer between the socket and TLS.
  struct Layer;
  ldap_conncb callback_{};
  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace berth::auth
