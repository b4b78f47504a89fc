// The client's side of TLS over a socket that blocks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "server/openssl.h"
#include "tests/support/certificates.h"

namespace berth::test {

struct TlsClientOptions {
  std::string server_name = "localhost";  ///< asked for and verified; empty: neither
  std::string trust = {};                 ///< PEM of the authorities; empty: anybody
  Identity identity = {};
  int version_min = TLS1_VERSION;
  int version_max = TLS1_3_VERSION;
  std::string ciphers = "DEFAULT@SECLEVEL=0";
  std::string protocol = {};              ///< ALPN, one name
  SSL_SESSION* session = nullptr;         ///< to resume
};

class TlsClient {
 public:
  /// Shakes hands at once.
  TlsClient(int descriptor, const TlsClientOptions& options);
  /// Without a goodbye OpenSSL would not use the session again.
  ~TlsClient() { SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); }

  bool connected() const { return connected_; }
  const std::string& error() const { return error_; }  ///< of the handshake
  /// As ::send and ::recv; a clean end is 0, an unclean one negative.
  long send(std::string_view bytes);
  long receive(void* into, std::size_t size);
  /// The same, but kAgain when what came was no data.
  static constexpr long kAgain = -2;
  long receive_once(void* into, std::size_t size);
  /// Something is there that the socket knows nothing of.
  bool holds_input() const { return SSL_has_pending(ssl_.get()) == 1; }
  void say_goodbye() { SSL_shutdown(ssl_.get()); }
  SSL* ssl() const { return ssl_.get(); }
  std::string peer_name() const;  ///< the common name of the server's certificate

 private:
  server::SslContextPtr context_;
  server::SslPtr ssl_;
  bool connected_ = false;
  std::string error_;
};

}  // namespace berth::test
