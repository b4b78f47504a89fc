#include "auth/certificates.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "auth/openssl.h"
#include "base/base64.h"

namespace berth::auth {
namespace {

constexpr std::size_t kChainMax = 8;

void free_stack(STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }

int no_password(char*, int, int, void*) { return 0; }

Error refuse(std::string why) { return make_error(ErrorCode::unauthorized, std::move(why)); }

X509Ptr parse_der(std::string_view der) {
  const auto* begin = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* at = begin;
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (at != begin + der.size()) return nullptr;
  return certificate;
}

}  // namespace

Result<RootCertificates> RootCertificates::parse_pem(std::string_view pem) {
  const ErrorQueueGuard guard;
  const auto bad = [](const char* why) { return make_error(ErrorCode::request_invalid, why); };
  if (pem.size() > kTextMax) return bad("the file of root certificates is larger than 1 MiB");
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::shared_ptr<X509_STORE> store(X509_STORE_new(), X509_STORE_free);
  require_openssl(bio != nullptr && store != nullptr, "X509_STORE_new");
  std::size_t count = 0;
  while (true) {
    const X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
    if (certificate == nullptr) break;
    if (X509_STORE_add_cert(store.get(), certificate.get()) != 1) return bad("a root certificate cannot be used");
    ++count;
  }
  // The end of the text is the only good reason to stop.
  const auto last = ERR_peek_last_error();
  if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE) {
    return bad("a root certificate cannot be read");
  }
  if (count == 0) return bad("the file of root certificates holds none in PEM");
  return RootCertificates(std::move(store));
}

Result<VerificationKey> RootCertificates::verify_chain(const nlohmann::json& x5c, WallTime now) const {
  const ErrorQueueGuard guard;
  if (!x5c.is_array() || x5c.empty() || x5c.size() > kChainMax) {
    return refuse("x5c is a list of one to eight certificates");
  }
  X509Ptr leaf;
  const Owned<STACK_OF(X509), free_stack> others(sk_X509_new_null());
  require_openssl(others != nullptr, "sk_X509_new_null");
  for (const auto& element : x5c) {
    const auto der = element.is_string() ? decode_base64(element.get_ref<const std::string&>()) : std::nullopt;
    X509Ptr certificate = der ? parse_der(*der) : nullptr;
    if (certificate == nullptr) return refuse("x5c holds something that is no certificate");
    if (leaf == nullptr) {
      leaf = std::move(certificate);
    } else {
      require_openssl(sk_X509_push(others.get(), certificate.get()) > 0, "sk_X509_push");
      (void)certificate.release();  // the stack's now
    }
  }
  const Owned<X509_STORE_CTX, X509_STORE_CTX_free> context(X509_STORE_CTX_new());
  require_openssl(context != nullptr && X509_STORE_CTX_init(context.get(), store_.get(), leaf.get(), others.get()) == 1,
                  "X509_STORE_CTX_init");
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count());
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_auth_level(param, 2);  // no SHA-1, no RSA below 2048 bits
  if (X509_verify_cert(context.get()) != 1) {
    return refuse(std::string("the certificate chain is not trusted: ") +
                  X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  }
  EVP_PKEY* key = X509_get0_pubkey(leaf.get());
  if (key == nullptr) return refuse("the certificate's key cannot be read");
  auto made = VerificationKey::from_openssl(key);
  if (!made) return refuse(made.error().message);
  return made;
}

}  // namespace berth::auth
