#include "tests/support/certificates.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "server/openssl.h"

namespace berth::test {
namespace {

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

void extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (extension == nullptr) std::abort();
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

/// `signer` null: by itself.
Identity make(const Wanted& wanted, const Identity* signer) {
  const KeyPtr key(wanted.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  const X509Ptr certificate(X509_new());
  X509* const raw = certificate.get();
  X509_set_version(raw, 2);
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(raw), serial >> 1 | 1);
  const auto now = std::time(nullptr);
  ASN1_TIME_set(X509_getm_notBefore(raw), now + wanted.from.count());
  ASN1_TIME_set(X509_getm_notAfter(raw), now + wanted.until.count());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(raw), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wanted.name.c_str()), -1, -1, 0);
  X509_set_pubkey(raw, key.get());
  X509Ptr issuer;
  KeyPtr issuer_key;
  if (signer != nullptr) {
    const auto issuer_text = server::bio_over(signer->certificate);
    issuer.reset(PEM_read_bio_X509(issuer_text.get(), nullptr, nullptr, nullptr));
    const auto key_text = server::bio_over(signer->key);
    issuer_key.reset(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  }
  X509* const above = issuer ? issuer.get() : raw;
  X509_set_issuer_name(raw, X509_get_subject_name(above));
  extend(raw, above, NID_basic_constraints, wanted.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  extend(raw, above, NID_key_usage, wanted.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  if (!wanted.authority) extend(raw, above, NID_ext_key_usage, wanted.use);
  std::string names;
  for (const auto& name : wanted.names) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) extend(raw, above, NID_subject_alt_name, names);
  if (X509_sign(raw, issuer_key ? issuer_key.get() : key.get(), EVP_sha256()) == 0) std::abort();

  const BioPtr certificate_out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate_out.get(), raw);
  const BioPtr key_out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return {text_of(certificate_out.get()), text_of(key_out.get())};
}

}  // namespace

Authority::Authority(const std::string& name) : own_(make({.name = name, .authority = true}, nullptr)) {}
Identity Authority::issue(const Wanted& wanted) const { return make(wanted, &own_); }
Authority Authority::below(const std::string& name) const {
  return Authority(make({.name = name, .authority = true}, &own_));
}

Folder::Folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "berth-tls-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Folder::write(const std::string& name, const std::string& content) const {
  const auto target = path(name);
  std::ofstream(target + ".new", std::ios::binary) << content;
  std::filesystem::rename(target + ".new", target);
  return target;
}

}  // namespace berth::test
