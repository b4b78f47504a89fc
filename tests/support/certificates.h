// Certificates made on the spot, good and bad.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace berth::test {

/// PEM texts.
struct Identity {
  std::string certificate;
  std::string key;
};

struct Wanted {
  std::string name = "test";  ///< the subject's common name
  std::vector<std::string> names = {};  ///< as OpenSSL's configuration writes them: "DNS:a", "IP:127.0.0.1", "URI:…"
  std::string use = "serverAuth";
  bool rsa = false;
  bool authority = false;
  std::chrono::seconds from = -std::chrono::hours(1);  ///< relative to now
  std::chrono::seconds until = std::chrono::hours(24 * 90);
};

class Authority {
 public:
  explicit Authority(const std::string& name);
  Identity issue(const Wanted& wanted) const;
  /// An authority below this one.
  Authority below(const std::string& name) const;
  const std::string& certificate() const { return own_.certificate; }

 private:
  explicit Authority(Identity own) : own_(std::move(own)) {}
  Identity own_;
};

/// A folder of its own, gone at the end; files are replaced as a whole.
class Folder {
 public:
  Folder();
  ~Folder();
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& content) const;

 private:
  std::string path_;
};

}  // namespace berth::test
