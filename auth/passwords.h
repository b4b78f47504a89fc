// Passwords: how they are hashed, and how many are hashed at once.
//
// New hashes are argon2id. Hashes that come from elsewhere (htpasswd files, older installations) may be bcrypt or
// yescrypt. Nothing is ever truncated, and everything that decides compares in constant time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/env.h"
#include "base/result.h"
#include "base/task.h"

namespace berth::auth {

inline constexpr std::size_t kPasswordSizeMax = 1024;  ///< bytes
inline constexpr std::size_t kBcryptPasswordSizeMax = 72;

/// What one hash costs. The default is about 20 ms of one core.
struct Argon2Cost {
  std::uint32_t iterations = 2;
  std::uint32_t memory_kib = 19 * 1024;
  std::uint32_t lanes = 1;
  bool operator==(const Argon2Cost&) const = default;
};

/// "$argon2id$v=19$m=…,t=…,p=…$salt$tag", with a salt of 16 and a tag of 32 bytes. Slow: never on an I/O thread.
/// Errors: request_invalid (longer than kPasswordSizeMax), unavailable (no memory).
Result<std::string> hash_password(std::string_view password, Entropy& entropy, const Argon2Cost& cost = {});

/// Is this a hash verify_password() takes? argon2id, bcrypt ($2a$, $2b$, $2y$) and yescrypt ($y$), with costs that a
/// server can bear: at most 256 MiB and some seconds.
bool is_password_hash(std::string_view hash);

/// Slow: never on an I/O thread. A password that is too long for the kind of hash, or that holds a zero byte where the
/// kind of hash would stop reading, is a wrong one. Errors: corrupt (is_password_hash() says no), unavailable (no
/// memory).
Result<bool> verify_password(std::string_view hash, std::string_view password);

/// Should the hash be made anew now that the password is at hand? For whatever is not argon2id of this cost.
bool needs_rehash(std::string_view hash, const Argon2Cost& cost = {});

/// A well-formed hash that no password has, and that costs as much to check as any other of this cost.
std::string decoy_hash(const Argon2Cost& cost = {});

/// Hashes on a pool of its own, which has `workers` threads, so that memory is bounded and other work goes on.
/// Thread-safe; jobs own what they touch, so it may go away before them. The pool must outlive it.
class PasswordChecker {
 public:
  struct Options {
    std::size_t workers = 2;
    std::size_t queue_max = 256;  ///< waiting beside those that run
    Argon2Cost cost = {};
  };
  PasswordChecker(Pool& pool, const Options& options);

  /// Errors: as verify_password(); unavailable as well when too many wait.
  Task<bool> check(std::string hash, std::string password);
  /// For a user who does not exist: false, at the cost of a real check. `decoy` is a hash of the kind that users of
  /// this source have; empty means argon2id of the configured cost.
  Task<bool> check_unknown_user(std::string password, std::string decoy = {});
  /// A new hash, for storing. Errors: as hash_password(); unavailable as well when too many wait. `entropy` must
  /// outlive the job: it is the process's.
  Task<std::string> hash(std::string password, Entropy& entropy);

  const Argon2Cost& cost() const { return cost_; }
  /// Jobs that run or wait.
  std::size_t busy() const;

 private:
  class Queue;
  template <class Value, class Job>
  Task<Value> run(Job job);

  Argon2Cost cost_;
  std::shared_ptr<Queue> queue_;
};

}  // namespace berth::auth
