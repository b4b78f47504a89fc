#include "server/tls_stream.h"

#include <openssl/x509v3.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "server/tls_certificate.h"

namespace berth::server {
namespace {

constexpr std::size_t kSubjectBytesMax = 4 << 10;

}  // namespace

TlsStream::TlsStream(std::shared_ptr<const TlsContext> context, int descriptor)
    : context_(std::move(context)), records_(descriptor), ssl_(context_->accept(descriptor, records_)), broken_(!ssl_) {}

/// Of a call that did not succeed.
TlsStream::Next TlsStream::next_after(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ: return Next::read;
    case SSL_ERROR_WANT_WRITE: return Next::write;
    case SSL_ERROR_ZERO_RETURN: return Next::ended;
    default: broken_ = true; return Next::broken;
  }
}

TlsStream::Shaken TlsStream::shake() {
  using Outcome = Shaken::Outcome;
  if (broken_) return {Outcome::failed, "out of memory"};
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    open_ = true;
    return {Outcome::done, {}};
  }
  const int error = errno;
  switch (next_after(result)) {
    case Next::read: return {Outcome::reading, {}};
    case Next::write: return {Outcome::writing, {}};
    default: break;
  }
  broken_ = true;
  std::string reason = take_openssl_errors();
  if (const auto verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK)
    reason += fmt::format(" ({})", X509_verify_cert_error_string(verdict));
  if (reason.empty()) reason = error != 0 ? std::strerror(error) : "the client hung up";
  return {Outcome::failed, std::move(reason)};
}

Wire::Moved TlsStream::read(std::span<std::byte> into) {
  if (broken_) return {};
  ERR_clear_error();
  std::size_t bytes = 0;
  read_turned_ = false;
  const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &bytes);
  drained_ = result != 1;
  if (result == 1) return {Wire::Outcome::moved, bytes};
  switch (next_after(result)) {
    case Next::write: read_turned_ = true; [[fallthrough]];
    case Next::read: return {Wire::Outcome::blocked, 0};
    case Next::ended: return {Wire::Outcome::ended, 0};
    case Next::broken: break;
  }
  return {};
}

Wire::Moved TlsStream::write(std::span<const std::byte> bytes) {
  using Sent = RecordBio::Outcome;
  Wire::Moved moved{Wire::Outcome::moved, 0};
  const Wire::Moved blocked{Wire::Outcome::blocked, 0};
  if (broken_) return {};
  if (!records_.empty()) {
    const Sent before = records_.flush();
    if (before == Sent::blocked) return blocked;
    broken_ = before == Sent::broken;
    if (broken_) return {};
    moved.bytes = std::exchange(unreported_, 0);
    bytes = bytes.subspan(std::min(bytes.size(), moved.bytes));
  }
  while (!bytes.empty()) {
    std::size_t batch = 0;
    bool good = true;
    records_.begin_batch();
    while (batch < bytes.size() && records_.has_room() && good) {
      ERR_clear_error();
      write_turned_ = false;
      std::size_t written = 0;
      const auto rest = bytes.subspan(batch);
      const int result = SSL_write_ex(ssl_.get(), rest.data(), rest.size(), &written);  // one record at most
      good = result == 1;
      batch += written;
      if (!good) write_turned_ = next_after(result) == Next::read;
    }
    write_blocked_ = !good;
    const Sent sent = records_.end_batch();
    broken_ = broken_ || sent == Sent::broken;
    if (sent == Sent::blocked) unreported_ = batch;
    if (sent == Sent::done) moved.bytes += batch;
    bytes = bytes.subspan(batch);
    if (broken_ || !good || sent != Sent::done) break;
  }
  if (moved.bytes > 0) return moved;
  return broken_ ? Wire::Moved{} : blocked;
}

bool TlsStream::holds_input() const { return !broken_ && !drained_ && SSL_has_pending(ssl_.get()) == 1; }
std::uint64_t TlsStream::received() const { return ssl_ ? BIO_number_read(SSL_get_rbio(ssl_.get())) : 0; }
std::uint64_t TlsStream::sent() const {
  return ssl_ ? BIO_number_written(SSL_get_wbio(ssl_.get())) - records_.unsent() : 0;
}
std::size_t TlsStream::pending() const { return broken_ ? 0 : static_cast<std::size_t>(SSL_pending(ssl_.get())); }

void TlsStream::say_goodbye() {
  if (broken_ || !open_ || write_blocked_ || !records_.empty()) return;
  open_ = false;
  ERR_clear_error();
  // What the socket does not take now is not worth a wait: the end of every body is known without it.
  if (SSL_shutdown(ssl_.get()) < 0) ERR_clear_error();
}

bool TlsStream::resumed() const { return ssl_ && SSL_session_reused(ssl_.get()) == 1; }
bool TlsStream::is_1_3() const { return ssl_ && SSL_version(ssl_.get()) == TLS1_3_VERSION; }

std::shared_ptr<const api::ClientCertificate> TlsStream::client_certificate() const {
  // Borrowed. It is there only when it was verified: an unknown one ends the handshake.
  X509* const peer = ssl_ ? SSL_get0_peer_certificate(ssl_.get()) : nullptr;
  if (peer == nullptr || SSL_get_verify_result(ssl_.get()) != X509_V_OK) return nullptr;
  auto found = std::make_shared<api::ClientCertificate>();
  found->subject = subject_of(*peer);
  if (found->subject.size() > kSubjectBytesMax) found->subject.clear();
  found->dns_names = alternative_names(*peer, GEN_DNS);
  found->uris = alternative_names(*peer, GEN_URI);
  found->emails = alternative_names(*peer, GEN_EMAIL);
  return found;
}

WallTime TlsStream::client_certificate_end() const { return not_after(*SSL_get0_peer_certificate(ssl_.get())); }

}  // namespace berth::server
