// A name and a password: tried with the methods that are set up, in their order, behind the throttle.
//
// A method that knows the name and says no ends the search, so that a weaker password elsewhere opens nothing. Local
// users and htpasswd files know whom they know without a slow check; a directory is asked with the password. How long a
// refusal takes and what it says do not tell which of them knows the name. A password
// that was right a moment ago is not checked again: what it was right for (the user's hash) is part of what is kept, so
// a password that was changed or taken away is gone at once.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/htpasswd.h"
#include "auth/ldap.h"
#include "auth/look.h"
#include "auth/options.h"
#include "auth/passwords.h"
#include "auth/subjects.h"
#include "auth/throttle.h"
#include "auth/verified_cache.h"

namespace berth::auth {

/// Somebody whose password was right. Whether that one may come in is not looked at here.
struct PasswordIdentity {
  std::string name;                      ///< of the user
  PasswordMethod method = PasswordMethod::users;
  std::vector<std::string> groups = {};  ///< subjects, from a directory
};

/// Thread-safe.
class PasswordLogins {
 public:
  /// All outlive it.
  struct Parts {
    registry::Identities& identities;
    Subjects& subjects;
    Pool& disk_pool;
    Pool& password_pool;
    const Clock& clock;
    Entropy& entropy;
  };
  /// Blocks: reads the htpasswd file. Errors: request_invalid, io_error.
  static Result<std::unique_ptr<PasswordLogins>> create(const AuthOptions& options, const Parts& parts);

  /// Errors: unauthorized, too_many_requests, unavailable (a directory gives no answer about a name that no method lets
  /// in); those of the identities.
  /// `look`, if any, outlives the wait, is told when the directory was asked, and its validity is narrowed to when the
  /// answer is the same.
  Task<PasswordIdentity> check(std::string user, std::string password, std::string peer, Look* look = nullptr);
  std::chrono::seconds retry_after(std::string_view user, std::string_view peer);
  /// Ends what waits in line, while the contexts of those who wait are still there. Idempotent.
  void stop() { throttle_.stop(); }

  /// Does the htpasswd file still list the user? `validity` outlives the wait.
  Task<bool> in_htpasswd(std::string user, Validity& validity);
  bool has_directory() const { return directory_ != nullptr; }
  /// The groups (subjects) of somebody in the directory, as it said not longer ago than it is believed. Errors:
  /// unauthorized (not there), unavailable. `validity` outlives the wait.
  Task<std::vector<std::string>> groups_in_directory(std::string user, Validity& validity);
  /// A new hash, at the cost of now. Errors: as PasswordChecker::hash().
  Task<std::string> hash(std::string password) { return checker_.hash(std::move(password), parts_.entropy); }

 private:
  /// A login while it is looked at.
  struct Login {
    std::string name;  ///< as accounts are named; empty: such a user there cannot be
    std::string password;
    std::string peer;
    std::optional<LoginThrottle::Attempt> attempt = {};
    SteadyTime admitted_at = {};  ///< with an attempt
    bool wrong = false;           ///< the password is, whatever is answered
    bool asked_directory = false;
    std::optional<Error> trouble = {};  ///< of the directory: the last word when nobody lets the name in
    Look* look;                   ///< never null

    const trace::Parent& trace() const { return look->counted.trace(); }
  };
  /// What a directory said of a user.
  struct Directory {
    std::vector<std::string> groups;
    std::string name;
    SteadyTime until;
  };

  PasswordLogins(const AuthOptions& options, const Parts& parts);
  Task<void> admit(Login& login);
  Task<bool> verify(Login& login, std::string kind, std::string hash);
  Task<PasswordIdentity> ask_directory(Login& login);
  Task<void> check_decoys(Login& login, std::optional<PasswordMethod> checked);
  Task<PasswordIdentity> refuse_known(Login& login, PasswordMethod method, std::string detail);
  Task<void> check_not_local(std::string name);
  Task<PasswordIdentity> run(Login& login);
  Task<void> rehash(std::string name, std::string old_hash, std::string password);

  const std::vector<PasswordMethod> methods_;
  const std::chrono::seconds directory_lifetime_;
  const Parts parts_;
  PasswordChecker checker_;
  VerifiedCache verified_;
  LoginThrottle throttle_;
  std::shared_ptr<HtpasswdFile> htpasswd_;  ///< null without
  std::unique_ptr<LdapDirectory> directory_;  ///< null without

  std::mutex mutex_;
  std::map<VerifiedCache::Mac, Directory> from_directory_;  ///< by password; guarded by mutex_
  std::map<std::string, Directory> in_directory_;           ///< by name; guarded by mutex_
};

}  // namespace berth::auth
