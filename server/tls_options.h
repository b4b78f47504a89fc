// What a TLS listener needs to be told, and what others may know of its certificates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/env.h"

namespace berth::server {

struct TlsOptions {
  enum class ClientCertificates : std::uint8_t { none, optional, required };
  /// Paths of PEM files.
  struct Pair {
    std::string certificate;
    std::string key;
  };

  std::vector<Pair> certificates;  ///< at least one; the first is for a client that asks for none of the others' names
  std::string client_ca;           ///< path of a PEM file; empty with none
  ClientCertificates client_certificates = ClientCertificates::none;
  bool only_1_3 = false;  ///< else also TLS 1.2
};

/// One certificate that is in use.
struct CertificateStatus {
  std::size_t listener = 0;        ///< its position in ServerOptions
  std::string file;
  std::vector<std::string> names;  ///< DNS names and addresses it is good for
  std::string subject;             ///< RFC 2253
  std::string issuer;
  std::string key;                 ///< "EC prime256v1", "RSA 2048"
  std::string fingerprint;         ///< SHA-256 of its DER form, hexadecimal
  WallTime not_before{};
  WallTime not_after{};
  WallTime loaded{};
  bool vouches = false;  ///< it is an authority of clients' certificates; else the listener shows it
  std::string problem;  ///< why what the listener's files hold now is not in use; empty: it is
};

/// Since the start.
struct HandshakeCounts {
  std::uint64_t completed = 0;
  std::uint64_t resumed = 0;  ///< of those completed
  std::uint64_t failed = 0;
  std::uint64_t timed_out = 0;
};

}  // namespace berth::server
