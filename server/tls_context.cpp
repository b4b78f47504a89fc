#include "server/tls_context.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/x509_vfy.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace berth::server {
namespace {

// Forward secrecy and authenticated encryption only. AES-128 first: it is the fastest where the processor helps, and
// clients without that help get ChaCha20 (SSL_OP_PRIORITIZE_CHACHA).
constexpr const char* kCiphers12 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kCiphers13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kGroups = "X25519:P-256:P-384";
constexpr int kClientChainMax = 5;
constexpr long kClientCertificateBytesMax = 32 << 10;
constexpr std::string_view kProtocol = "http/1.1";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// ALPN (RFC 7301): a client that offers protocols and not ours is told so.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned offered_size, void*) {
  for (unsigned at = 0; at < offered_size; at += 1U + offered[at]) {
    const unsigned size = offered[at];
    if (at + 1 + size > offered_size) break;
    const std::string_view name(reinterpret_cast<const char*>(offered + at + 1), size);
    if (name != kProtocol) continue;
    *out = offered + at + 1;
    *out_size = static_cast<unsigned char>(size);
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// Seals and opens tickets (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
int ticket_key(SSL* connection, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
               int seal) {
  auto* const keys = static_cast<TicketKeys*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection)));
  const auto now = std::chrono::steady_clock::now();
  TicketKeys::Key key;
  bool fresh = false;
  if (seal == 1) {
    const auto sealing = keys->sealing(now);
    if (!sealing || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
    key = *sealing;
    std::copy(key.name.begin(), key.name.end(), name);
  } else {
    const auto opening = keys->opening(name, now);
    if (!opening) return 0;  // A full handshake it is.
    key = opening->key;
    // In TLS 1.3 a client uses a ticket once (RFC 8446 §C.4), so each needs a successor.
    fresh = opening->old || SSL_version(connection) >= TLS1_3_VERSION;
  }
  std::array<OSSL_PARAM, 3> params{
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>("SHA256"), 0), OSSL_PARAM_construct_end()};
  const bool ready = EVP_MAC_CTX_set_params(mac, params.data()) == 1 &&
                     EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.cipher.data(), iv, seal) == 1;
  OPENSSL_cleanse(&key, sizeof key);
  if (!ready) return -1;
  return fresh ? 2 : 1;  // 2: the client shall get a new one
}

Error failed(std::string_view what) {
  return make_error(ErrorCode::request_invalid, fmt::format("{}: {}", what, take_openssl_errors()));
}

Result<void> ask_clients(SSL_CTX* context, const TlsContext::Parts& parts) {
  using Ask = TlsOptions::ClientCertificates;
  if (parts.client_certificates == Ask::none) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    return {};
  }
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  for (const auto& authority : parts.client_authorities) {
    if (X509_STORE_add_cert(store, authority.get()) != 1 || SSL_CTX_add_client_CA(context, authority.get()) != 1)
      return failed("the client authorities cannot be used");
  }
  // An authority in the middle may be trusted without its root.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  const int required = parts.client_certificates == Ask::required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | required, nullptr);
  SSL_CTX_set_verify_depth(context, kClientChainMax);
  SSL_CTX_set_max_cert_list(context, kClientCertificateBytesMax);
  // A ticket would carry yesterday's verdict on a certificate: these clients show theirs each time.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
  return {};
}

Result<SslContextPtr> make_context(const TlsContext::Parts& parts) {
  SslContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context) return failed("TLS cannot be used");
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Idle connections give their buffers back; a write that waits may come again from another place in memory.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_read_ahead(raw, 1);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(raw, std::chrono::duration_cast<std::chrono::seconds>(TicketKeys::kLifetime).count());
  SSL_CTX_set_app_data(raw, parts.tickets.get());
  SSL_CTX_set_alpn_select_cb(raw, &choose_protocol, nullptr);
  const bool made =
      SSL_CTX_set_min_proto_version(raw, parts.only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) == 1 && SSL_CTX_set_cipher_list(raw, kCiphers12) == 1 &&
      SSL_CTX_set_ciphersuites(raw, kCiphers13) == 1 && SSL_CTX_set1_groups_list(raw, kGroups) == 1 &&
      SSL_CTX_set_tlsext_ticket_key_evp_cb(raw, &ticket_key) == 1 &&
      SSL_CTX_set_session_id_context(raw, reinterpret_cast<const unsigned char*>(parts.scope.data()),
                                     static_cast<unsigned>(parts.scope.size())) == 1;
  if (!made) return failed("TLS cannot be set up");
  BERTH_CHECK(ask_clients(raw, parts));
  return context;
}

/// Adds the certificate beside those of other key types.
bool use(SSL_CTX* context, const Certificate& certificate) {
  STACK_OF(X509)* const chain = sk_X509_new_null();
  for (const auto& above : certificate.chain) sk_X509_push(chain, above.get());
  const bool used =
      SSL_CTX_use_cert_and_key(context, certificate.leaf.get(), certificate.key.get(), chain, 0) == 1;
  sk_X509_free(chain);
  return used;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::make(Parts parts) {
  auto made = std::make_shared<TlsContext>();
  made->tickets_ = parts.tickets;
  made->scope_ = parts.scope;
  auto certificates = std::move(parts.certificates);
  for (auto& certificate : certificates) BERTH_CHECK(made->add(std::move(certificate), parts));
  std::move(parts.client_authority_statuses.begin(), parts.client_authority_statuses.end(),
            std::back_inserter(made->statuses_));
  return std::shared_ptr<const TlsContext>(std::move(made));
}

Result<void> TlsContext::add(Certificate certificate, const Parts& parts) {
  // One name may have an ECDSA and an RSA certificate: OpenSSL then chooses by what the client can verify.
  const auto same = std::find_if(statuses_.begin(), statuses_.end(), [&](const auto& status) {
    return status.names == certificate.status.names;
  });
  SSL_CTX* context = same != statuses_.end() && !same->names.empty() ? find(lower(same->names.front())) : nullptr;
  if (context != nullptr && !use(context, certificate)) {
    ERR_clear_error();  // There is one of this type already.
    context = nullptr;
  }
  if (context == nullptr) {
    BERTH_TRY(auto fresh, make_context(parts));
    context = fresh.get();
    if (!use(context, certificate)) return failed("the certificate cannot be used");
    SSL_CTX_set_tlsext_servername_callback(context, &TlsContext::choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(context, this);
    contexts_.push_back(std::move(fresh));
  }
  for (const auto& name : certificate.status.names) by_name_.emplace(lower(name), context);
  statuses_.push_back(std::move(certificate.status));
  return {};
}

SSL_CTX* TlsContext::find(std::string_view name) const {
  if (const auto exact = by_name_.find(name); exact != by_name_.end()) return exact->second;
  // A wildcard stands for one label (RFC 6125 §6.4.3).
  const auto dot = name.find('.');
  if (dot == name.npos || dot == 0) return nullptr;
  const auto wildcard = by_name_.find("*" + std::string(name.substr(dot)));
  return wildcard == by_name_.end() ? nullptr : wildcard->second;
}

int TlsContext::choose_certificate(SSL* connection, int*, void* self) {
  const char* const name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_CTX* const found = static_cast<const TlsContext*>(self)->find(lower(name));
  if (found == nullptr) return SSL_TLSEXT_ERR_NOACK;  // The default one; the client judges.
  SSL_set_SSL_CTX(connection, found);
  return SSL_TLSEXT_ERR_OK;
}

SslPtr TlsContext::accept(int descriptor, RecordBio& records) const {
  SslPtr connection(SSL_new(contexts_.front().get()));
  BioPtr from(BIO_new_socket(descriptor, BIO_NOCLOSE));
  BioPtr to = records.make_bio();
  if (!connection || !from || !to) return nullptr;
  SSL_set_bio(connection.get(), from.release(), to.release());
  SSL_set_accept_state(connection.get());
  return connection;
}

}  // namespace berth::server
