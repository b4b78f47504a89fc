#include "tests/support/test_authority.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>

namespace berth {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

void must(bool good) {
  if (!good) throw std::runtime_error("OpenSSL refuses to make a test certificate");
}

void extend(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value), &X509_EXTENSION_free);
  must(extension && X509_add_ext(certificate, extension.get(), -1) == 1);
}

Certificate begin(EVP_PKEY* key, const char* name, long serial) {
  Certificate certificate(X509_new(), &X509_free);
  must(certificate != nullptr);
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 24 * 3600);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  return certificate;
}

template <class Write>
void write_pem(const std::string& path, Write write) {
  std::unique_ptr<BIO, decltype(&BIO_free_all)> out(BIO_new_file(path.c_str(), "w"), &BIO_free_all);
  must(out && write(out.get()) == 1);
}

}  // namespace

TestFolder::TestFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "berth-test-XXXXXX").string();
  must(::mkdtemp(name.data()) != nullptr);
  root_ = name;
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(root_, ignored);
}

std::string TestFolder::write(const std::string& name, const std::string& content) const {
  std::ofstream out(path(name), std::ios::binary);
  out << content;
  must(out.good());
  return path(name);
}

TestAuthority::TestAuthority() {
  const Key root_key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const Key server_key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  must(root_key && server_key);

  const Certificate root_certificate = begin(root_key.get(), "a test's root", 1);
  X509_set_issuer_name(root_certificate.get(), X509_get_subject_name(root_certificate.get()));
  extend(root_certificate.get(), root_certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  extend(root_certificate.get(), root_certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  must(X509_sign(root_certificate.get(), root_key.get(), EVP_sha256()) > 0);

  const Certificate server = begin(server_key.get(), "localhost", 2);
  X509_set_issuer_name(server.get(), X509_get_subject_name(root_certificate.get()));
  extend(server.get(), root_certificate.get(), NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
  extend(server.get(), root_certificate.get(), NID_ext_key_usage, "serverAuth");
  must(X509_sign(server.get(), root_key.get(), EVP_sha256()) > 0);

  write_pem(root(), [&](BIO* out) { return PEM_write_bio_X509(out, root_certificate.get()); });
  write_pem(certificate(), [&](BIO* out) { return PEM_write_bio_X509(out, server.get()); });
  write_pem(key(), [&](BIO* out) {
    return PEM_write_bio_PrivateKey(out, server_key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

}  // namespace berth
