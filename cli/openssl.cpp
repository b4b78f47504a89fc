#include "cli/openssl.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>

namespace berth::cli {
namespace {

int no_passphrase(char*, int, int, void*) { return -1; }

BioPtr reader(std::string_view text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string text_of(BIO& bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(&bio, &data);
  return {data, static_cast<std::size_t>(std::max(0L, size))};
}

}  // namespace

Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem) {
  const auto bio = reader(pem);
  std::vector<X509Ptr> found;
  while (X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, &no_passphrase, nullptr)})
    found.push_back(std::move(certificate));
  // The end of the text is an error to OpenSSL, too.
  const bool broken = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (broken) return make_error(ErrorCode::request_invalid, "it has a certificate that cannot be read");
  if (found.empty()) return make_error(ErrorCode::request_invalid, "there is no certificate in it (PEM)");
  return found;
}

KeyPtr parse_key(std::string_view pem) {
  KeyPtr key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, &no_passphrase, nullptr));
  ERR_clear_error();
  return key;
}

std::string pem_of(const X509& certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), const_cast<X509*>(&certificate)) != 1) return {};
  return text_of(*bio);
}

std::string subject_of(const X509& certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || X509_NAME_print_ex(bio.get(), X509_get_subject_name(&certificate), 0, XN_FLAG_RFC2253) < 0) return {};
  return text_of(*bio);
}

bool signed_by(const X509Ptr& certificate, const X509Ptr& issuer) {
  const bool good = X509_check_issued(issuer.get(), certificate.get()) == X509_V_OK &&
                    X509_verify(certificate.get(), X509_get0_pubkey(issuer.get())) == 1;
  ERR_clear_error();
  return good;
}

}  // namespace berth::cli
