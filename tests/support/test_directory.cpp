#include "tests/support/test_directory.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/http_peer.h"

extern char** environ;

namespace berth {
namespace {

constexpr const char* kServer = "/usr/sbin/slapd";

pid_t spawn(std::vector<std::string> arguments, const std::string& log) {
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = -1;
  const int failed = ::posix_spawn(&child, pointers[0], &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("cannot start " + arguments[0]);
  return child;
}

bool listens(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool connected = ::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(descriptor);
  return connected;
}

}  // namespace

bool TestDirectory::available(const std::string& test) {
  if (std::filesystem::exists(kServer)) return true;
  std::cout << "skipped: " << test << ": slapd is not installed" << std::endl;
  const char* ci = std::getenv("CI");
  if (ci && std::string(ci) == "true") FAIL("in CI nothing may be skipped");
  return false;
}

TestDirectory::TestDirectory(const std::string& ldif) {
  std::filesystem::create_directory(folder_.path("data"));
  std::string settings;
  for (const char* schema : {"core", "cosine", "nis", "inetorgperson"})
    settings += std::string("include /etc/ldap/schema/") + schema + ".schema\n";
  settings += "modulepath /usr/lib/ldap\nmoduleload back_mdb\n";
  settings += "pidfile " + folder_.path("pid") + "\nargsfile " + folder_.path("args") + "\n";
  settings += "TLSCACertificateFile " + authority_.root() + "\nTLSCertificateFile " + authority_.certificate() +
              "\nTLSCertificateKeyFile " + authority_.key() + "\n";
  // As lax as directories out there are: a bind without a password succeeds.
  settings += "allow bind_anon_cred\nsizelimit 1000\n";
  settings += "database mdb\nmaxsize 16777216\nsuffix \"dc=example,dc=org\"\ndirectory " + folder_.path("data") + "\n";
  settings += "access to attrs=userPassword by anonymous auth by * none\n";
  settings += "access to * by dn.exact=\"cn=berth,dc=example,dc=org\" read by anonymous auth by * none\n";
  const auto file = folder_.write("slapd.conf", settings);
  const auto content = folder_.write("content.ldif", ldif);
  const pid_t filler = spawn({kServer, "-T", "add", "-f", file, "-l", content}, folder_.path("log"));
  int status = 0;
  if (::waitpid(filler, &status, 0) != filler || status != 0) throw std::runtime_error("slapd does not take the LDIF");
  // Somebody else may take a port that was free a moment ago.
  for (int attempt = 0; attempt < 5; ++attempt) {
    port_ = closed_port();
    tls_port_ = closed_port();
    try {
      start();
      return;
    } catch (const std::runtime_error&) {
      if (attempt == 4) throw;
    }
  }
}

TestDirectory::~TestDirectory() { stop(); }

void TestDirectory::start() {
  child_ =
      spawn({kServer, "-d", "0", "-f", folder_.path("slapd.conf"), "-h", url() + " " + tls_url()}, folder_.path("log"));
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
       std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(std::chrono::milliseconds(10))) {
    int status = 0;
    if (::waitpid(child_, &status, WNOHANG) == child_) {
      child_ = -1;
      break;
    }
    if (listens(port_) && listens(tls_port_)) return;
  }
  stop();
  throw std::runtime_error("slapd does not start");
}

void TestDirectory::freeze() { ::kill(child_, SIGSTOP); }
void TestDirectory::thaw() { ::kill(child_, SIGCONT); }

void TestDirectory::stop() {
  if (child_ < 0) return;
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
  child_ = -1;
}

void TestDirectory::restart() {
  stop();
  start();
}

}  // namespace berth
