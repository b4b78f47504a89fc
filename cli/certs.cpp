#include "cli/certs.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <ostream>

#include "base/result.h"
#include "cli/openssl.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

constexpr long kDay = 24 * 60 * 60;
constexpr long kAuthorityDays = 5 * 365;
/// More than this Apple's systems refuse in a server's certificate, whoever signed it.
constexpr long kServerDays = 397;
constexpr std::size_t kNamesMax = 100;

using ConstraintsPtr = std::unique_ptr<NAME_CONSTRAINTS, FreeWith<NAME_CONSTRAINTS_free>>;

struct Pair {
  X509Ptr certificate;
  KeyPtr key;
};

Error failed(std::string what) {
  std::array<char, 256> reason{};
  if (const auto code = ERR_get_error(); code != 0) ERR_error_string_n(code, reason.data(), reason.size());
  ERR_clear_error();
  if (reason[0] != '\0') what += fmt::format(": {}", reason.data());
  return make_error(ErrorCode::io_error, std::move(what));
}

bool is_v4(const std::string& name) {
  in_addr address{};
  return ::inet_pton(AF_INET, name.c_str(), &address) == 1;
}

bool is_v6(const std::string& name) {
  in6_addr address{};
  return ::inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

bool is_host_name(std::string_view name) {
  if (name.empty() || name.size() > 253 || name.front() == '.' || name.back() == '.') return false;
  char before = '.';
  for (const char c : name) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!word && c != '-' && c != '.') return false;
    if (before == '.' && !word) return false;
    if (c == '.' && before == '-') return false;
    before = c;
  }
  return before != '-';
}

/// "DNS:a,IP:1.2.3.4": only what was checked comes here, so nothing in it means anything else to OpenSSL.
std::string alternative_names(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names)
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", is_v4(name) || is_v6(name) ? "IP" : "DNS", name);
  return text;
}

/// The authority may vouch for this machine and the names it was made for, and for nobody else: who steals its key
/// cannot pass for the rest of the world.
std::string constraints(const std::vector<std::string>& names) {
  std::string text =
      "critical,permitted;IP:127.0.0.0/255.0.0.0,permitted;IP:::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  for (const auto& name : names) {
    if (name == "127.0.0.1" || name == "::1") continue;
    if (is_v4(name))
      text += fmt::format(",permitted;IP:{}/255.255.255.255", name);
    else if (is_v6(name))
      text += fmt::format(",permitted;IP:{}/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", name);
    else
      text += ",permitted;DNS:" + name;
  }
  return text;
}

bool extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

struct Extension {
  int kind;
  std::string value;
};

/// `authority` null: signed by itself.
Result<Pair> make_pair(const std::string& subject, long days, const std::vector<Extension>& extensions,
                       const Pair* authority) {
  Pair made{X509Ptr(X509_new()), KeyPtr(EVP_EC_gen("P-256"))};
  X509* const raw = made.certificate.get();
  if (raw == nullptr || !made.key) return failed("a key cannot be made");
  std::array<unsigned char, 16> serial{};
  if (RAND_bytes(serial.data(), static_cast<int>(serial.size())) != 1) return failed("the system gives no randomness");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);  // positive, and of full length
  const std::unique_ptr<BIGNUM, FreeWith<BN_free>> number(BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(raw));
  X509_set_version(raw, 2);
  const auto now = std::time(nullptr);
  ASN1_TIME_set(X509_getm_notBefore(raw), now - 3'600);  // for machines whose clock is behind
  ASN1_TIME_set(X509_getm_notAfter(raw), now + days * kDay);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(raw), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(subject.c_str()), -1, -1, 0);
  X509_set_pubkey(raw, made.key.get());
  X509* const above = authority == nullptr ? raw : authority->certificate.get();
  X509_set_issuer_name(raw, X509_get_subject_name(above));
  for (const auto& extension : extensions)
    if (!extend(raw, above, extension.kind, extension.value)) return failed("a certificate cannot hold " + extension.value);
  if (X509_sign(raw, authority == nullptr ? made.key.get() : authority->key.get(), EVP_sha256()) == 0)
    return failed("a certificate cannot be signed");
  return made;
}

std::string text_of(BIO& bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(&bio, &data);
  return {data, static_cast<std::size_t>(std::max(0L, size))};
}

/// There in whole or not at all, for its owner only.
Result<void> write_file(const fs::path& path, const std::string& text) {
  const std::string scratch = path.string() + ".new";
  auto wrong = [&](const std::string& file) {
    return make_error(ErrorCode::io_error, fmt::format("{} cannot be written: {}", file, std::strerror(errno)));
  };
  (void)::unlink(scratch.c_str());  // of a run that was cut off
  const int file = ::open(scratch.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return wrong(scratch);
  const bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (!written || ::fsync(file) != 0) {
    auto error = wrong(scratch);
    ::close(file);
    return error;
  }
  ::close(file);
  if (::rename(scratch.c_str(), path.c_str()) != 0) return wrong(path.string());
  return {};
}

/// The key first: a server that watches the files takes the pair once both are there.
Result<void> write_pair(const fs::path& folder, const std::string& name, const Pair& pair) {
  const BioPtr key(BIO_new(BIO_s_mem())), certificate(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(key.get(), pair.key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      PEM_write_bio_X509(certificate.get(), pair.certificate.get()) != 1)
    return failed("PEM cannot be written");
  BERTH_CHECK(write_file(folder / (name + ".key"), text_of(*key)));
  return write_file(folder / (name + ".crt"), text_of(*certificate));
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

int no_passphrase(char*, int, int, void*) { return -1; }

Result<Pair> read_authority(const fs::path& folder) {
  const auto certificate = read_file(folder / "ca.crt"), key = read_file(folder / "ca.key");
  const BioPtr certificate_text(BIO_new_mem_buf(certificate.data(), static_cast<int>(certificate.size())));
  const BioPtr key_text(BIO_new_mem_buf(key.data(), static_cast<int>(key.size())));
  Pair pair{X509Ptr(PEM_read_bio_X509(certificate_text.get(), nullptr, nullptr, nullptr)),
            KeyPtr(PEM_read_bio_PrivateKey(key_text.get(), nullptr, &no_passphrase, nullptr))};
  ERR_clear_error();
  auto wrong = [&](std::string_view what) {
    return make_error(ErrorCode::request_invalid,
                      fmt::format("the authority in {} {}; --force makes a new one, which every client must then be told of",
                                  folder.string(), what));
  };
  if (!pair.certificate || !pair.key) return wrong("cannot be read");
  if (X509_check_private_key(pair.certificate.get(), pair.key.get()) != 1) {
    ERR_clear_error();
    return wrong("has the key of another");
  }
  if (X509_check_ca(pair.certificate.get()) == 0) return wrong("is none: its certificate may sign no other");
  if (X509_cmp_time(X509_get0_notAfter(pair.certificate.get()), nullptr) < 0) return wrong("has expired");
  return pair;
}

/// May the authority vouch for all names of the certificate?
bool covers(const Pair& authority, const Pair& server) {
  const ConstraintsPtr limits(static_cast<NAME_CONSTRAINTS*>(
      X509_get_ext_d2i(authority.certificate.get(), NID_name_constraints, nullptr, nullptr)));
  X509_check_purpose(server.certificate.get(), -1, 0);  // OpenSSL looks at the names that this makes it read
  return !limits || NAME_CONSTRAINTS_check(server.certificate.get(), limits.get()) == X509_V_OK;
}

/// Nobody's pair but what this authority signed is replaced: the folder may hold the only copy of a key.
Result<void> check_replaceable(const fs::path& folder, const Pair* authority) {
  if (!fs::exists(folder / "tls.crt") && !fs::exists(folder / "tls.key")) return {};
  const auto text = read_file(folder / "tls.crt");
  const BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  const X509Ptr server(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  const bool ours = server && authority != nullptr && X509_verify(server.get(), authority->key.get()) == 1;
  ERR_clear_error();
  if (ours) return {};
  return make_error(ErrorCode::request_invalid,
                    fmt::format("{} holds a tls.crt or tls.key that this command did not make; name another folder with "
                                "--out, or say --force to replace them",
                                folder.string()));
}

/// The one in the folder, or a new one.
Result<Pair> authority_for(const fs::path& folder, const std::vector<std::string>& names, bool force, bool& fresh) {
  fresh = force || (!fs::exists(folder / "ca.crt") && !fs::exists(folder / "ca.key"));
  if (!fresh) {
    BERTH_TRY(auto found, read_authority(folder));
    BERTH_CHECK(check_replaceable(folder, &found));
    return found;
  }
  if (!force) {
    BERTH_CHECK(check_replaceable(folder, nullptr));
  }
  const std::vector<Extension> extensions = {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                             {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                             {NID_subject_key_identifier, "hash"},
                                             {NID_name_constraints, constraints(names)}};
  BERTH_TRY(auto made, make_pair("berth development authority", kAuthorityDays, extensions, nullptr));
  BERTH_CHECK(write_pair(folder, "ca", made));
  return made;
}

void explain(const fs::path& folder, const std::vector<std::string>& names, bool fresh, std::ostream& out) {
  const auto at = [&](const char* name) { return (folder / name).string(); };
  out << fmt::format("{} {}, good for {}\n\n", fresh ? "made an authority in" : "used the authority in", folder.string(),
                     fmt::join(names, ", "));
  out << fmt::format("berth serves with it by these settings, and takes a new pair by itself:\n\n"
                     "  listeners:\n    - {{address: \"127.0.0.1:5443\", tls: {{certificate: \"{}\", key: \"{}\"}}}}\n\n",
                     at("tls.crt"), at("tls.key"));
  const std::string host = (names.size() > 3 ? names.back() : names.front()) + ":5443";
  out << "clients trust it when they know ca.crt (another host or port: change " << host << " below):\n\n";
  out << fmt::format("  docker      install -D -m 644 {} /etc/docker/certs.d/{}/ca.crt\n", at("ca.crt"), host);
  out << fmt::format("  podman      install -D -m 644 {} /etc/containers/certs.d/{}/ca.crt   (skopeo and buildah too)\n",
                     at("ca.crt"), host);
  out << fmt::format("  containerd  /etc/containerd/certs.d/{}/hosts.toml, with config_path = \"/etc/containerd/certs.d\":\n\n"
                     "                server = \"https://{}\"\n"
                     "                [host.\"https://{}\"]\n"
                     "                  ca = \"{}\"\n\n",
                     host, host, host, at("ca.crt"));
  out << fmt::format("  crane, oras, helm, cosign and other Go programs: SSL_CERT_FILE={}\n", at("ca.crt"));
}

Result<std::vector<std::string>> all_names(const std::vector<std::string>& given) {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  for (std::string name : given) {
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (!is_v4(name) && !is_v6(name) && !is_host_name(name))
      return make_error(ErrorCode::request_invalid,
                        fmt::format("--name {}: expected a host name or an address, without a port", name));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  if (names.size() > kNamesMax)
    return make_error(ErrorCode::request_invalid, fmt::format("more than {} names", kNamesMax));
  return names;
}

Result<void> make(const fs::path& folder, const std::vector<std::string>& names, bool force, std::ostream& out) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    return make_error(ErrorCode::io_error, fmt::format("{} cannot be made: {}", folder.string(), error.message()));
  bool fresh = false;
  BERTH_TRY(const auto authority, authority_for(folder, names, force, fresh));
  const std::vector<Extension> extensions = {{NID_basic_constraints, "critical,CA:FALSE"},
                                             {NID_key_usage, "critical,digitalSignature"},
                                             {NID_ext_key_usage, "serverAuth"},
                                             {NID_authority_key_identifier, "keyid"},
                                             {NID_subject_alt_name, alternative_names(names)}};
  BERTH_TRY(const auto server, make_pair(names.size() > 3 ? names[3].substr(0, 64) : names[0], kServerDays, extensions, &authority));
  if (!covers(authority, server))
    return make_error(ErrorCode::request_invalid,
                      fmt::format("the authority in {} was not made for all of {}; --force makes a new one, which every "
                                  "client must then be told of",
                                  folder.string(), fmt::join(names, ", ")));
  BERTH_CHECK(write_pair(folder, "tls", server));
  explain(folder, names, fresh, out);
  return {};
}

}  // namespace

int make_dev_certificates(const DevCertificatesCall& call, const Program& program) {
  auto names = all_names(call.names);
  if (!names) {
    program.err << "berth: " << names.error().message << '\n';
    return kUsage;
  }
  ::umask(0077);
  std::error_code error;
  const auto folder = fs::absolute(call.out, error);
  const auto made = make(error ? fs::path(call.out) : folder, *names, call.force, program.out);
  if (made) return kOk;
  program.err << "berth: " << made.error().message << '\n';
  return kFailure;
}

}  // namespace berth::cli
