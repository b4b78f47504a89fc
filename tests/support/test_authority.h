// A certificate authority of a test: its root, and server certificates for 127.0.0.1 and localhost, as PEM files in a
// folder of its own that goes with it.
#pragma once

#include <filesystem>
#include <string>

namespace berth {

/// A folder of a test; goes with everything in it.
class TestFolder {
 public:
  TestFolder();
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder();
  std::string path(const std::string& name) const { return (root_ / name).string(); }
  /// Writes a file and says where.
  std::string write(const std::string& name, const std::string& content) const;

 private:
  std::filesystem::path root_;
};

class TestAuthority {
 public:
  TestAuthority();
  std::string root() const { return folder_.path("root.pem"); }
  std::string certificate() const { return folder_.path("server.pem"); }
  std::string key() const { return folder_.path("server.key"); }

 private:
  TestFolder folder_;
};

}  // namespace berth
