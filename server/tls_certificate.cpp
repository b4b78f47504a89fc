#include "server/tls_certificate.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ctime>

namespace berth::server {
namespace {

constexpr std::size_t kCertificatesInFileMax = 1'000;  // a bundle of public roots holds a few hundred
constexpr std::size_t kChainMax = 10;
constexpr std::size_t kNamesMax = 1'000;
constexpr std::size_t kNameBytesMax = 1'024;

Error wrong(std::string what) { return make_error(ErrorCode::request_invalid, std::move(what)); }

/// OpenSSL would ask for it on the terminal.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

WallTime wall_time(const ASN1_TIME* time) {
  std::tm tm{};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return WallTime{};
  return WallTime(std::chrono::seconds(::timegm(&tm)));
}

std::string text_of(const X509_NAME* name) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(out.get(), &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

std::unique_ptr<GENERAL_NAMES, FreeNames> names_of(const X509& certificate) {
  return std::unique_ptr<GENERAL_NAMES, FreeNames>(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
}

std::vector<std::string> addresses_of(const X509& certificate) {
  std::vector<std::string> found;
  const auto names = names_of(certificate);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_IPADD) continue;
    char text[INET6_ADDRSTRLEN];
    const int size = ASN1_STRING_length(name->d.iPAddress);
    if (size != 4 && size != 16) continue;
    ::inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text);
    found.emplace_back(text);
  }
  return found;
}

std::string key_text(EVP_PKEY& key) {
  char group[80] = {};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(&key, group, sizeof group, &size) == 1) return fmt::format("EC {}", group);
  const char* const name = EVP_PKEY_get0_type_name(&key);
  return fmt::format("{} {}", name == nullptr ? "key" : name, EVP_PKEY_get_bits(&key));
}

std::string fingerprint_of(const X509& certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(&certificate, EVP_sha256(), digest, &size) != 1) return {};
  return fmt::format("{:02x}", fmt::join(digest, digest + size, ""));
}

Result<KeyPtr> parse_key(std::string_view pem) {
  const auto bio = bio_over(pem);
  bool asked = false;
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &no_passphrase, &asked));
  const auto reason = take_openssl_errors();
  if (key) return key;
  if (asked) return wrong("the key has a passphrase; expected one without");
  return wrong(fmt::format("holds no private key in PEM form ({})", reason));
}

std::string date(WallTime time) { return format_rfc3339(time); }

}  // namespace

Result<std::vector<X509Ptr>> parse_certificates(std::string_view pem) {
  std::vector<X509Ptr> found;
  const auto bio = bio_over(pem);
  while (X509Ptr next{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    if (found.size() == kCertificatesInFileMax)
      return wrong(fmt::format("holds more than {} certificates", kCertificatesInFileMax));
    found.push_back(std::move(next));
  }
  const auto last = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  const auto reason = take_openssl_errors();
  if (!at_end) return wrong(fmt::format("holds a broken certificate ({})", reason));
  if (found.empty()) return wrong("holds no certificate in PEM form");
  return found;
}

Result<Certificate> parse_certificate(std::string_view certificate_pem, std::string_view key_pem, WallTime now) {
  BERTH_TRY(auto certificates, parse_certificates(certificate_pem));
  if (certificates.size() > kChainMax) return wrong(fmt::format("holds more than {} certificates", kChainMax));
  Certificate made;
  BERTH_TRY(made.key, parse_key(key_pem));
  made.leaf = std::move(certificates.front());
  for (std::size_t i = 1; i < certificates.size(); ++i) made.chain.push_back(std::move(certificates[i]));

  if (X509_check_private_key(made.leaf.get(), made.key.get()) != 1) {
    ERR_clear_error();
    return wrong("the key belongs to another certificate than the first of the file");
  }
  if (X509_check_purpose(made.leaf.get(), X509_PURPOSE_SSL_SERVER, 0) != 1) {
    ERR_clear_error();
    return wrong("the certificate may not be used for a server");
  }
  X509* below = made.leaf.get();
  for (const auto& above : made.chain) {
    if (X509_check_issued(above.get(), below) != X509_V_OK || X509_verify(below, X509_get0_pubkey(above.get())) != 1) {
      ERR_clear_error();
      return wrong(fmt::format("the chain is out of order or incomplete: {} is followed by {}, which did not sign it",
                               subject_of(*below), subject_of(*above)));
    }
    below = above.get();
  }

  auto& status = made.status = status_of(*made.leaf);
  status.loaded = now;
  if (now >= status.not_after) return wrong("the certificate expired at " + date(status.not_after));
  if (now < status.not_before) return wrong("the certificate is not valid before " + date(status.not_before));
  for (const auto& above : made.chain)
    if (now >= not_after(*above))
      return wrong(fmt::format("{} in the chain expired at {}", subject_of(*above), date(not_after(*above))));
  return made;
}

CertificateStatus status_of(const X509& certificate) {
  CertificateStatus status;
  status.names = alternative_names(certificate, GEN_DNS);
  for (auto& address : addresses_of(certificate)) status.names.push_back(std::move(address));
  status.subject = subject_of(certificate);
  status.issuer = text_of(X509_get_issuer_name(&certificate));
  if (EVP_PKEY* const key = X509_get0_pubkey(&certificate)) status.key = key_text(*key);
  status.fingerprint = fingerprint_of(certificate);
  status.not_before = wall_time(X509_get0_notBefore(&certificate));
  status.not_after = not_after(certificate);
  return status;
}

std::string subject_of(const X509& certificate) { return text_of(X509_get_subject_name(&certificate)); }

std::vector<std::string> alternative_names(const X509& certificate, int kind) {
  std::vector<std::string> found;
  const auto names = names_of(certificate);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()) && found.size() < kNamesMax; ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != kind) continue;
    const ASN1_IA5STRING* const text = name->d.ia5;
    const std::string value(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                            static_cast<std::size_t>(ASN1_STRING_length(text)));
    const bool visible = std::all_of(value.begin(), value.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    if (visible && !value.empty() && value.size() <= kNameBytesMax) found.push_back(value);
  }
  return found;
}

WallTime not_after(const X509& certificate) { return wall_time(X509_get0_notAfter(&certificate)); }

ExpiryStep expiry_step(WallTime not_after, WallTime now) {
  const auto left = not_after - now;
  if (left <= std::chrono::hours(0)) return ExpiryStep::expired;
  if (left <= std::chrono::hours(24)) return ExpiryStep::day_1;
  if (left <= std::chrono::hours(24 * 7)) return ExpiryStep::days_7;
  if (left <= std::chrono::hours(24 * 30)) return ExpiryStep::days_30;
  return ExpiryStep::none;
}

}  // namespace berth::server
