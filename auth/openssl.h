// More of OpenSSL's objects with an owner, and its error queue kept clean.
#pragma once

#include <openssl/err.h>
#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>

#include "base/openssl.h"

namespace berth::auth {

using OwnedMdContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using OwnedKeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;

/// Empties the calling thread's error queue at its end: TLS on the same thread reads what is left there as its own.
class ErrorQueueGuard {
 public:
  ErrorQueueGuard() = default;
  ErrorQueueGuard(const ErrorQueueGuard&) = delete;
  ~ErrorQueueGuard() { ERR_clear_error(); }
};

/// For what fails only without memory or with a broken installation: nothing could be trusted after it.
inline void require_openssl(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "berth: OpenSSL failed: %s\n", what);
  std::abort();
}

}  // namespace berth::auth
