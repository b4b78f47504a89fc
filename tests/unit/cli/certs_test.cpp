// `berth certs dev`: what it makes is what a strict client accepts, and no more than was asked for.
#include "cli/certs.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>

using namespace berth;
namespace fs = std::filesystem;

namespace {

struct Folder {
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "berth-certs-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = fs::path(pattern);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

struct Ran {
  int code = -1;
  std::string out, err;
};

Ran certs(const fs::path& out_folder, std::vector<std::string> names = {}, bool force = false) {
  std::vector<std::string> arguments = {"berth", "certs", "dev", "--out", out_folder.string()};
  if (force) arguments.emplace_back("--force");
  for (auto& name : names) arguments.insert(arguments.end(), {"--name", std::move(name)});
  std::vector<const char*> argv;
  for (const auto& argument : arguments) argv.push_back(argument.c_str());
  std::istringstream in;
  std::ostringstream out, err;
  const cli::Program program{"1", {}, {}, in, out, err, false};
  Ran ran;
  ran.code = cli::run(static_cast<int>(argv.size()), argv.data(), program);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

using Certificate = std::shared_ptr<X509>;
Certificate certificate(const fs::path& path) {
  const std::string text = content(path);
  BIO* const bio = BIO_new_mem_buf(text.data(), static_cast<int>(text.size()));
  Certificate made(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr), &X509_free);
  BIO_free(bio);
  REQUIRE(made);
  return made;
}

/// X509_V_OK, or why a client would refuse it.
int verdict(const fs::path& authority, const fs::path& server, const std::string& name) {
  const auto root = certificate(authority), leaf = certificate(server);
  X509_STORE* const store = X509_STORE_new();
  X509_STORE_add_cert(store, root.get());
  X509_STORE_CTX* const check = X509_STORE_CTX_new();
  X509_STORE_CTX_init(check, store, leaf.get(), nullptr);
  X509_STORE_CTX_set_default(check, "ssl_server");
  X509_VERIFY_PARAM* const wanted = X509_STORE_CTX_get0_param(check);
  X509_VERIFY_PARAM_set_flags(wanted, X509_V_FLAG_X509_STRICT);
  if (X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str()) != 1) X509_VERIFY_PARAM_set1_host(wanted, name.c_str(), 0);
  X509_verify_cert(check);
  const int result = X509_STORE_CTX_get_error(check);
  X509_STORE_CTX_free(check);
  X509_STORE_free(store);
  return result;
}

}  // namespace

TEST_CASE("certs dev makes what a strict client accepts") {
  const Folder folder;
  const auto out = folder.path / "certs";
  const auto ran = certs(out, {"Registry.Test", "192.168.1.5"});
  CHECK(ran.err.empty());
  REQUIRE(ran.code == cli::kOk);
  for (const char* name : {"localhost", "127.0.0.1", "::1", "registry.test", "192.168.1.5"})
    CHECK(verdict(out / "ca.crt", out / "tls.crt", name) == X509_V_OK);
  CHECK(verdict(out / "ca.crt", out / "tls.crt", "other.test") == X509_V_ERR_HOSTNAME_MISMATCH);
  for (const char* name : {"ca.crt", "ca.key", "tls.crt", "tls.key"}) {
    struct stat status{};
    REQUIRE(::stat((out / name).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
  }
  CHECK(std::distance(fs::directory_iterator(out), fs::directory_iterator()) == 4);
  for (const char* text : {"/etc/docker/certs.d/", "/etc/containers/certs.d/", "hosts.toml", "SSL_CERT_FILE", "tls: {certificate:"})
    CHECK_THAT(ran.out, Catch::Contains(text));
}

TEST_CASE("certs dev keeps its authority and makes a new pair") {
  const Folder folder;
  REQUIRE(certs(folder.path, {"a.test", "b.test"}).code == cli::kOk);
  const auto authority = content(folder.path / "ca.crt"), server = content(folder.path / "tls.crt");
  const auto again = certs(folder.path, {"b.test"});
  REQUIRE(again.code == cli::kOk);
  CHECK_THAT(again.out, Catch::Contains("used the authority"));
  CHECK(content(folder.path / "ca.crt") == authority);
  CHECK(content(folder.path / "tls.crt") != server);
  CHECK(verdict(folder.path / "ca.crt", folder.path / "tls.crt", "b.test") == X509_V_OK);

  // It may vouch for what it was made for only, and clients hold it to that.
  const auto kept = content(folder.path / "tls.crt");
  const auto other = certs(folder.path, {"c.test"});
  CHECK(other.code == cli::kFailure);
  CHECK_THAT(other.err, Catch::Contains("was not made for all of") && Catch::Contains("c.test"));
  CHECK(content(folder.path / "tls.crt") == kept);
}

TEST_CASE("certs dev refuses what it cannot use") {
  const Folder folder;
  for (const char* name : {"", "a b", "a:5000", "https://a", "-a", "a..b", "*.a", "a,DNS:b", "a.", "ü"}) {
    INFO(name);
    CHECK(certs(folder.path / "x", {name}).code == cli::kUsage);
    CHECK_FALSE(fs::exists(folder.path / "x"));
  }
  std::ofstream(folder.path / "file") << "x";
  CHECK(certs(folder.path / "file" / "x").code == cli::kFailure);
  REQUIRE(certs(folder.path).code == cli::kOk);
  std::ofstream(folder.path / "ca.key") << "broken";
  const auto broken = certs(folder.path);
  CHECK(broken.code == cli::kFailure);
  CHECK_THAT(broken.err, Catch::Contains("cannot be read"));
}

TEST_CASE("certs dev replaces what it did not make only when it is told to") {
  struct Row {
    const char* name;
    std::vector<std::string> remove;  ///< of a folder that is whole
    const char* broken;               ///< a file to write nonsense into, or null
    bool force;
    bool replaced;
  };
  const std::vector<Row> rows = {
      {"all its own", {}, nullptr, false, true},
      {"no authority, a pair of somebody else", {"ca.crt", "ca.key"}, nullptr, false, false},
      {"the same by force", {"ca.crt", "ca.key"}, nullptr, true, true},
      {"a certificate that cannot be read", {}, "tls.crt", false, false},
      {"a key alone", {"ca.crt", "ca.key", "tls.crt"}, nullptr, false, false},
      {"a broken authority", {}, "ca.key", false, false},
      {"a broken authority by force", {}, "ca.key", true, true},
      {"half an authority", {"ca.key"}, nullptr, false, false},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const Folder folder;
    REQUIRE(certs(folder.path).code == cli::kOk);
    for (const auto& name : row.remove) fs::remove(folder.path / name);
    if (row.broken != nullptr) std::ofstream(folder.path / row.broken) << "broken";
    const auto kept = content(folder.path / "tls.key");
    const auto ran = certs(folder.path, {}, row.force);
    CHECK(ran.code == (row.replaced ? cli::kOk : cli::kFailure));
    CHECK((content(folder.path / "tls.key") != kept) == row.replaced);
    if (row.replaced) {
      CHECK(verdict(folder.path / "ca.crt", folder.path / "tls.crt", "localhost") == X509_V_OK);
    } else {
      CHECK_THAT(ran.err, Catch::Contains("--force"));
      for (const auto& name : row.remove) CHECK_FALSE(fs::exists(folder.path / name));
    }
  }
}
