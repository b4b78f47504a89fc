// One TLS connection over a socket that never waits: what the session says goes in, records go out.
//
// OpenSSL reads the socket itself, and writes it through RecordBio. While nothing is on its way it holds no buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "api/http.h"
#include "server/openssl.h"
#include "server/record_bio.h"
#include "server/tls_context.h"
#include "server/wire.h"

namespace berth::server {

/// One thread at a time.
class TlsStream {
 public:
  /// The descriptor outlives it and stays the caller's.
  TlsStream(std::shared_ptr<const TlsContext> context, int descriptor);

  struct Shaken {
    enum class Outcome : std::uint8_t { done, reading, writing, failed };
    Outcome outcome = Outcome::failed;
    std::string reason;  ///< of failed
  };
  /// Goes on with the handshake until it waits for the peer. Computes for up to some milliseconds.
  Shaken shake();

  Wire::Moved read(std::span<std::byte> into);
  /// As many records as the socket takes. After `blocked` or less than all, the next call begins with what is left.
  Wire::Moved write(std::span<const std::byte> bytes);

  /// Something may be read that the socket knows nothing of any more.
  bool holds_input() const;
  /// The last read, or write, waits for the other direction.
  bool read_waits_to_write() const { return read_turned_; }
  bool write_waits_to_read() const { return write_turned_; }
  /// Bytes of records so far, handshake included.
  std::uint64_t received() const;
  std::uint64_t sent() const;
  /// Decrypted and not yet read.
  std::size_t pending() const;

  /// Tells the peer that no more follows, unless something of ours is still half sent. Once; never waits.
  void say_goodbye();
  bool resumed() const;
  /// TLS 1.3, not 1.2.
  bool is_1_3() const;
  /// What the peer proved to be; null without a certificate.
  std::shared_ptr<const api::ClientCertificate> client_certificate() const;
  /// Until when that certificate is valid; of a peer that has one.
  WallTime client_certificate_end() const;
  const TlsContext& context() const { return *context_; }

 private:
  enum class Next : std::uint8_t { read, write, ended, broken };
  Next next_after(int result);

  std::shared_ptr<const TlsContext> context_;
  RecordBio records_;
  SslPtr ssl_;  ///< refers to records_
  bool broken_ = false;        ///< nothing more may be asked of ssl_
  bool open_ = false;          ///< the handshake is done and no goodbye said
  bool drained_ = false;       ///< the last read found nothing whole
  bool read_turned_ = false;
  bool write_turned_ = false;
  bool write_blocked_ = false; ///< a record is half sent
  std::size_t unreported_ = 0;  ///< bytes that are in records which are not all sent: the caller will come with them again
};

}  // namespace berth::server
