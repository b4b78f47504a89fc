// A real slapd of a test: its own folder, a port of loopback, users and groups that the test gives, TLS by a test's
// authority.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "tests/support/test_authority.h"

namespace berth {

class TestDirectory {
 public:
  /// Is slapd installed? If not, says so by the test's name (tests/suite.py counts that); in CI the test fails.
  static bool available(const std::string& test);

  /// Filled from `ldif`; below dc=example,dc=org. Throws when slapd does not start.
  explicit TestDirectory(const std::string& ldif);
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;
  ~TestDirectory();

  std::string url() const { return "ldap://127.0.0.1:" + std::to_string(port_); }
  std::string tls_url() const { return "ldaps://127.0.0.1:" + std::to_string(tls_port_); }
  std::string root() const { return authority_.root(); }

  void freeze();  ///< it answers nobody and keeps its connections
  void thaw();
  void stop();     ///< killed
  void restart();  ///< on the same ports

 private:
  void start();

  TestAuthority authority_;
  TestFolder folder_;
  std::uint16_t port_ = 0;
  std::uint16_t tls_port_ = 0;
  pid_t child_ = -1;
};

}  // namespace berth
