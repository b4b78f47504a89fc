// A file of users and bcrypt hashes, as Apache's htpasswd -B writes it: "name:$2y$…", one a line; blank lines and lines
// that start with '#' are passed over. Names are lower-cased.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/env.h"
#include "base/result.h"
#include "base/task.h"

namespace berth::auth {

/// What the file says. Const after parsing.
class Htpasswd {
 public:
  static constexpr std::size_t kFileSizeMax = 16u << 20;

  /// Errors: request_invalid, with `file`, the line, and what is wrong: a hash that is not bcrypt, a name that is none,
  /// a user twice.
  static Result<Htpasswd> parse(std::string_view text, std::string_view file);

  /// Null when there is no such user. `user` in any case.
  const std::string* find(std::string_view user) const;
  /// A hash that no password has, at the cost that most users' hashes have: for users who do not exist. Empty when the
  /// file has no user.
  const std::string& decoy() const { return decoy_; }
  std::size_t size() const { return hashes_.size(); }

 private:
  std::map<std::string, std::string, std::less<>> hashes_;
  std::string decoy_;
};

/// The file, read anew when it changed. A new content that cannot be used is logged once, and the old one stays.
/// Thread-safe; never moves. The pool and the clock must outlive it.
class HtpasswdFile {
 public:
  /// Reads the file once, in place: for the start. Errors: io_error, request_invalid.
  static Result<std::unique_ptr<HtpasswdFile>> open(std::string path, Pool& pool, const Clock& clock);

  /// What the file says, not older than a second. Looks at the file on the pool, at most once a second; `self` is held
  /// while it does. Never fails: the last good content is the answer.
  static Task<std::shared_ptr<const Htpasswd>> current(std::shared_ptr<HtpasswdFile> self);
  /// The same in place, for threads that may block.
  std::shared_ptr<const Htpasswd> look();
  /// Until when current() answers what it answers now. Taken before current(), it holds for what that says.
  SteadyTime good_until() const;
  /// Moves when the content does.
  std::uint64_t version() const;

 private:
  /// What a file has when nobody wrote to it.
  struct Stamp {
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;
    std::uint64_t size = 0;
    std::uint64_t inode = 0;
    std::uint64_t device = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Content {
    std::string text;
    Stamp stamp;
    bool settled = false;  ///< old enough that a later write would give another stamp
  };

  HtpasswdFile(std::string path, Pool& pool, const Clock& clock);
  /// Of the open file, or of what the path names now.
  static Result<Stamp> stamp(const std::string& path, int descriptor = -1);
  Result<Content> read() const;
  bool fresh() const;
  void complain(const Error& error);

  const std::string path_;
  Pool& pool_;
  const Clock& clock_;
  std::mutex looking_;         ///< held while the file is read
  Stamp stamp_;                ///< these three belong to who holds it
  bool settled_ = false;
  std::string complaint_;      ///< the last one, so that it is logged once
  mutable std::mutex mutex_;   ///< guards the rest, briefly
  std::shared_ptr<const Htpasswd> current_;
  std::uint64_t version_ = 0;
  SteadyTime looked_at_;
};

}  // namespace berth::auth
