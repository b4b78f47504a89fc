// TLS' objects with an owner, and OpenSSL's errors as text.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string>
#include <string_view>

#include "base/openssl.h"

namespace berth::server {

using SslContextPtr = Owned<SSL_CTX, SSL_CTX_free>;
using SslPtr = Owned<SSL, SSL_free>;

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
