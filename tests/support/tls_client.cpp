#include "tests/support/tls_client.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace berth::test {

TlsClient::TlsClient(int descriptor, const TlsClientOptions& options) : context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX* const context = context_.get();
  SSL_CTX_set_min_proto_version(context, options.version_min);
  SSL_CTX_set_max_proto_version(context, options.version_max);
  SSL_CTX_set_cipher_list(context, options.ciphers.c_str());
  // A session that a context cached would end with it.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  if (!options.trust.empty()) {
    const auto text = server::bio_over(options.trust);
    while (X509Ptr next{PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)})
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context), next.get());
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  }
  if (!options.identity.certificate.empty()) {
    const auto text = server::bio_over(options.identity.certificate);
    const X509Ptr own(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
    const auto key_text = server::bio_over(options.identity.key);
    const KeyPtr key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
    SSL_CTX_use_certificate(context, own.get());
    SSL_CTX_use_PrivateKey(context, key.get());
  }
  if (!options.protocol.empty()) {
    const std::string wire = static_cast<char>(options.protocol.size()) + options.protocol;
    SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(wire.data()), static_cast<unsigned>(wire.size()));
  }
  ssl_.reset(SSL_new(context));
  SSL_set_fd(ssl_.get(), descriptor);
  if (!options.server_name.empty()) {
    SSL_set_tlsext_host_name(ssl_.get(), options.server_name.c_str());
    SSL_set1_host(ssl_.get(), options.server_name.c_str());
  }
  if (options.session != nullptr) SSL_set_session(ssl_.get(), options.session);
  ERR_clear_error();
  connected_ = SSL_connect(ssl_.get()) == 1;
  error_ = server::take_openssl_errors();
}

long TlsClient::send(std::string_view bytes) {
  ERR_clear_error();
  return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX)));
}

long TlsClient::receive(void* into, std::size_t size) {
  long bytes = kAgain;
  while (bytes == kAgain) bytes = receive_once(into, size);
  return bytes;
}

long TlsClient::receive_once(void* into, std::size_t size) {
  errno = 0;
  ERR_clear_error();
  const int bytes = SSL_read(ssl_.get(), into, static_cast<int>(std::min<std::size_t>(size, INT_MAX)));
  if (bytes > 0) return bytes;
  switch (SSL_get_error(ssl_.get(), bytes)) {
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_WANT_READ: return errno == EAGAIN ? -1 : kAgain;  // The socket's own patience ended, or a ticket came.
    default: return -1;
  }
}

std::string TlsClient::peer_name() const {
  const X509Ptr peer(SSL_get1_peer_certificate(ssl_.get()));
  if (!peer) return {};
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(peer.get()), NID_commonName, name, sizeof name);
  return name;
}

}  // namespace berth::test
