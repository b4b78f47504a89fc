// OpenSSL's objects with an owner, and its errors as text.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

namespace berth::server {

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, FreeWith<SSL_free>>;

/// To read from; `text` outlives it.
inline BioPtr bio_over(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// Why the last call of this thread failed, in OpenSSL's words; empties its list of errors.
inline std::string take_openssl_errors() {
  std::string text;
  while (const auto code = ERR_get_error()) {
    const char* const reason = ERR_reason_error_string(code);
    if (reason == nullptr || text.find(reason) != text.npos) continue;
    if (!text.empty()) text += ", ";
    text += reason;
  }
  return text;
}

}  // namespace berth::server
