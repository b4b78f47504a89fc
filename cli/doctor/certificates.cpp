#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <spdlog/fmt/chrono.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>

#include "cli/doctor/checks.h"
#include "cli/openssl.h"

namespace berth::cli {
namespace {

using StorePtr = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;
struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};
using StackPtr = std::unique_ptr<STACK_OF(X509), FreeStack>;

constexpr int kSoonDays = 21, kNowDays = 3;
/// What 2048 bits of RSA, any usual curve and SHA-256 reach; clients refuse less.
constexpr int kSecurityBits = 112;

struct Pair {
  std::string name;  ///< of the certificate's file
  std::vector<X509Ptr> chain;
  std::string_view once_ended = "no client takes it";
  std::string_view renewal = "have a new one made and put in its place; berth takes it without a restart";
};

bool read(const std::string& path, const std::string& what, std::string& text, Findings& findings) {
  std::ifstream file(path, std::ios::binary);
  text.assign(std::istreambuf_iterator<char>(file), {});
  if (file.is_open() && !text.empty()) return true;
  findings.problem("certificates.files", fmt::format("{} {}: {}", what, path, file.is_open() ? "it is empty" : std::strerror(errno)),
                   "put it there, so that the user that runs berth can read it");
  return false;
}

bool read_chain(Pair& pair, const std::string& what, Findings& findings) {
  std::string text;
  if (!read(pair.name, what, text, findings)) return false;
  auto chain = parse_certificates(text);
  if (chain) {
    pair.chain = *std::move(chain);
    return true;
  }
  findings.problem("certificates.files", pair.name + ": " + chain.error().message, "it must be PEM, with BEGIN CERTIFICATE");
  return false;
}

std::string date_of(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? fmt::format("{:%Y-%m-%d}", parts) : "a date that cannot be read";
}

void check_key(const X509& certificate, const std::string& certificate_path, const std::string& path, Findings& findings) {
  std::string text;
  if (!read(path, "the key", text, findings)) return;
  const auto key = parse_key(text);
  const bool matches = key && X509_check_private_key(&certificate, key.get()) == 1;
  ERR_clear_error();
  struct stat info {};
  const bool open = ::stat(path.c_str(), &info) == 0 && (info.st_mode & 0007) != 0;
  if (!key)
    findings.problem("certificates.key", path + " has no private key that can be read without a passphrase",
                     "openssl pkey -in FILE -out FILE takes the passphrase off");
  else if (!matches)
    findings.problem("certificates.key", fmt::format("{} is the key of another certificate than {}", path, certificate_path),
                     "put the pair there that was made together");
  else if (!open)
    findings.ok("certificates.key", path + " is its key");
  if (open)
    findings.problem("certificates.key", fmt::format("everybody on this machine may read {} (mode {:04o})", path, info.st_mode & 07777),
                     fmt::format("chmod o= {}; if somebody may have copied it, have a new pair made", path));
}

void check_expiry(const Pair& pair, std::time_t now, Findings& findings) {
  for (const auto& certificate : pair.chain) {
    const auto* end = X509_get0_notAfter(certificate.get());
    const auto* begin = X509_get0_notBefore(certificate.get());
    int days = 0, seconds = 0;
    std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>> today(ASN1_TIME_set(nullptr, now));
    if (!today || ASN1_TIME_diff(&days, &seconds, today.get(), end) != 1) continue;
    const auto who = fmt::format("{} ({})", pair.name, subject_of(*certificate));
    const std::string renew(pair.renewal);
    if (ASN1_TIME_cmp_time_t(begin, now) > 0)
      findings.problem("certificates.expiry", fmt::format("{} is not valid before {}", who, date_of(begin)),
                       "is the clock of this machine right? Else wait, or have another one made");
    else if (days < 0 || seconds < 0)
      findings.problem("certificates.expiry", fmt::format("{} ended on {}: {}", who, date_of(end), pair.once_ended), renew);
    else if (days < kNowDays)
      findings.problem("certificates.expiry", fmt::format("{} ends on {}, in {} days", who, date_of(end), days), renew);
    else if (days < kSoonDays)
      findings.warning("certificates.expiry", fmt::format("{} ends on {}, in {} days", who, date_of(end), days), renew);
    else
      findings.ok("certificates.expiry", fmt::format("{} is good until {}, for {} days", who, date_of(end), days));
  }
}

void check_order(const Pair& pair, Findings& findings) {
  for (std::size_t i = 0; i + 1 < pair.chain.size(); ++i)
    if (!signed_by(pair.chain[i], pair.chain[i + 1]))
      return findings.problem("certificates.chain",
                              fmt::format("{}: {} is not signed by the next in the file, {}", pair.name, subject_of(*pair.chain[i]),
                                          subject_of(*pair.chain[i + 1])),
                              "put the server's own certificate first, then who signed it, and so on");
}

void check_trust(const Pair& pair, const std::string& ca_file, std::time_t now, Findings& findings) {
  const StorePtr store(X509_STORE_new());
  const StoreContextPtr context(X509_STORE_CTX_new());
  const StackPtr between(sk_X509_new_null());
  if (!store || !context || !between) return;
  X509_STORE_set_default_paths(store.get());
  if (!ca_file.empty()) X509_STORE_load_file(store.get(), ca_file.c_str());
  ERR_clear_error();
  for (std::size_t i = 1; i < pair.chain.size(); ++i) sk_X509_push(between.get(), pair.chain[i].get());
  if (X509_STORE_CTX_init(context.get(), store.get(), pair.chain.front().get(), between.get()) != 1) return;
  X509_STORE_CTX_set_time(context.get(), 0, now);
  const bool trusted = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (trusted)
    return findings.ok("certificates.chain", fmt::format("{} is trusted {}", pair.name,
                                                         ca_file.empty() ? "by this system" : "by this system or " + ca_file));
  if (error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID) return;  // told already
  findings.warning("certificates.chain",
                   fmt::format("{}: this system does not trust who signed it ({})", pair.name, X509_verify_cert_error_string(error)),
                   "if your own authority did, say --ca FILE here, and give clients what `berth client-config` prints; if a "
                   "public one did, add the certificates between it and the server's to the file");
}

void check_strength(const Pair& pair, Findings& findings) {
  const X509* leaf = pair.chain.front().get();
  const EVP_PKEY* key = X509_get0_pubkey(leaf);
  int digest = 0;
  const bool known = X509_get_signature_info(const_cast<X509*>(leaf), &digest, nullptr, nullptr, nullptr) == 1;
  if ((known && (digest == NID_sha1 || digest == NID_md5)) || key == nullptr || EVP_PKEY_get_security_bits(key) < kSecurityBits)
    findings.problem("certificates.strength", pair.name + " has a short key or a signature over SHA-1, which clients refuse",
                     "have one made with an ECDSA P-256 key, or RSA of 2048 bits, and SHA-256");
}

void check_names(const Pair& pair, Findings& findings) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(pair.chain.front().get(), NID_subject_alt_name, nullptr, nullptr)));
  if (!names)
    findings.problem("certificates.names", pair.name + " has no alternative names; clients look at nothing else",
                     "have one made with the registry's name as a subjectAltName");
}

bool covers(const Pair& pair, const std::string& host) {
  X509* leaf = pair.chain.front().get();
  const bool good = X509_check_ip_asc(leaf, host.c_str(), 0) == 1 || X509_check_host(leaf, host.data(), host.size(), 0, nullptr) == 1;
  ERR_clear_error();
  return good;
}

/// "registry.example.com" of "https://registry.example.com:8443", "::1" of "https://[::1]".
std::string host_of(const std::string& url) {
  const std::string rest = url.substr(url.find("//") + 2);
  if (rest.starts_with('[')) return rest.substr(1, rest.find(']') - 1);
  return rest.substr(0, rest.find(':'));
}

void check_public_name(const config::Settings& settings, const std::vector<Pair>& pairs, Findings& findings) {
  const bool elsewhere = std::any_of(settings.listeners.begin(), settings.listeners.end(),
                                     [](const auto& listener) { return listener.tls_elsewhere; });
  if (pairs.empty() || elsewhere || !settings.public_url.starts_with("https://")) return;
  const auto host = host_of(settings.public_url);
  const auto found = std::find_if(pairs.begin(), pairs.end(), [&](const Pair& pair) { return covers(pair, host); });
  if (found != pairs.end())
    findings.ok("certificates.names", fmt::format("{} is for {}", found->name, host));
  else
    findings.problem("certificates.names", fmt::format("no certificate is for {}, which public_url names", host),
                     "have one made for that name, or correct public_url; a proxy that speaks TLS wants tls_elsewhere");
}

}  // namespace

void check_certificates(const config::Settings& settings, const std::string& ca_file,
                        std::chrono::system_clock::time_point now, Findings& findings) {
  const auto seconds = std::chrono::system_clock::to_time_t(now);
  std::vector<Pair> pairs;
  for (const auto& listener : settings.listeners) {
    if (!listener.tls.on) continue;
    for (std::size_t i = 0; i < listener.tls.certificate.size() && i < listener.tls.key.size(); ++i) {
      Pair pair{listener.tls.certificate[i], {}};
      if (!read_chain(pair, "the certificate", findings)) continue;
      check_key(*pair.chain.front(), pair.name, listener.tls.key[i], findings);
      check_expiry(pair, seconds, findings);
      check_order(pair, findings);
      check_trust(pair, ca_file, seconds, findings);
      check_strength(pair, findings);
      check_names(pair, findings);
      pairs.push_back(std::move(pair));
    }
    if (listener.tls.client_ca.empty()) continue;
    Pair authorities{listener.tls.client_ca, {}, "no certificate that it signed lets a client in",
                     "add the authority that follows it, have clients renew theirs, and take it out; berth takes the file "
                     "without a restart"};
    if (read_chain(authorities, "the authorities of clients", findings)) check_expiry(authorities, seconds, findings);
  }
  check_public_name(settings, pairs, findings);
}

}  // namespace berth::cli
