// A certificate with its key as PEM files hold them, checked before it is shown to anybody.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/openssl.h"
#include "server/tls_options.h"

namespace berth::server {

struct Certificate {
  X509Ptr leaf;
  std::vector<X509Ptr> chain;  ///< what leads from the leaf to its root, in order
  KeyPtr key;
  CertificateStatus status;    ///< without listener and file
};

/// Is the key the certificate's, is each certificate signed by the next, may it stand for a server, is it valid at
/// `now`? Errors: request_invalid, with a sentence that says what is wrong and names no file.
Result<Certificate> parse_certificate(std::string_view certificate_pem, std::string_view key_pem, WallTime now);

/// All certificates of a PEM text; at least one. Errors: request_invalid.
Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem);

/// What others may know of a certificate; without listener, file and when it was loaded.
CertificateStatus status_of(const X509& certificate);

/// What a certificate calls its owner (RFC 2253).
std::string subject_of(const X509& certificate);

/// The alternative names of one kind (GEN_DNS, GEN_URI, GEN_EMAIL); those that hold anything but visible ASCII, or too
/// much of it, are left out, never cut.
std::vector<std::string> alternative_names(const X509& certificate, int kind);

WallTime not_after(const X509& certificate);

/// How close to its end a certificate is; each step is worth one line in the log.
enum class ExpiryStep : std::uint8_t { none, days_30, days_7, day_1, expired };
ExpiryStep expiry_step(WallTime not_after, WallTime now);

}  // namespace berth::server
