// What a TLS listener says in a handshake: versions, ciphers, certificates by name, tickets, whom it asks for what.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/openssl.h"
#include "server/record_bio.h"
#include "server/ticket_keys.h"
#include "server/tls_certificate.h"
#include "server/tls_options.h"

namespace berth::server {

/// Const after construction; swapped whole when files change, while connections keep the one they began with.
class TlsContext {
 public:
  struct Parts {
    std::vector<Certificate> certificates;  ///< the first is the default
    std::vector<X509Ptr> client_authorities;
    std::vector<CertificateStatus> client_authority_statuses;  ///< of those
    TlsOptions::ClientCertificates client_certificates = TlsOptions::ClientCertificates::none;
    bool only_1_3 = false;
    /// Tickets of another scope are not taken: what one listener knows of a client says nothing to the next.
    std::string scope;
    std::shared_ptr<TicketKeys> tickets;
  };
  /// Errors: request_invalid, with a sentence.
  static Result<std::shared_ptr<const TlsContext>> make(Parts parts);

  /// A connection that waits for its handshake; it reads from `descriptor` and writes to `records`, which both outlive it.
  /// Null: out of memory.
  SslPtr accept(int descriptor, RecordBio& records) const;
  /// Those that are shown, then those that vouch for clients.
  const std::vector<CertificateStatus>& certificates() const { return statuses_; }
  /// Changes with whom it asks for certificates of which authorities.
  const std::string& scope() const { return scope_; }

 private:
  static int choose_certificate(SSL* connection, int* alert, void* self);
  SSL_CTX* find(std::string_view name) const;
  Result<void> add(Certificate certificate, const Parts& parts);

  std::vector<SslContextPtr> contexts_;  ///< one for each set of names; the first is the default
  std::map<std::string, SSL_CTX*, std::less<>> by_name_;      ///< "registry.example.com", "*.example.com"
  std::vector<CertificateStatus> statuses_;
  std::string scope_;
  std::shared_ptr<TicketKeys> tickets_;
};

}  // namespace berth::server
