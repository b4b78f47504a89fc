// Users and groups of an LDAP directory (OpenLDAP, 389, Active Directory): berth looks for the user with an account of
// its own, then binds as the user to check the password, then looks for the groups.
//
// libldap blocks, so all of it runs on a few threads of its own, each with a pair of connections that are kept: one for
// searches, one that only ever checks passwords. A directory that is down, slow or set up wrongly is `unavailable`;
// `unauthorized` is the directory's own word, and the same for a wrong password and an unknown user.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "auth/ldap_connection.h"
#include "base/task.h"

namespace berth::auth {

struct LdapOptions {
  LdapEndpoint endpoint;
  std::string bind_dn = {};             ///< berth's own account; empty: searches are anonymous
  std::string bind_password_file = {};  ///< read for each new connection
  std::string user_base;
  std::string user_filter = "(uid={user})";  ///< {user} stands for what was typed, in lower case
  /// Of the user's entry: its name in berth. What was typed is not taken for it: a filter over mail addresses lets the
  /// same person in by several words, and by one that they chose themselves.
  std::string name_attribute = "uid";
  std::string group_base = {};                 ///< empty: no groups
  std::string group_filter = "(member={dn})";  ///< {dn} of the user's entry, {user} its name
  std::string group_attribute = "cn";  ///< of a group's entry: its name; what makes no name in berth is left out
  std::chrono::milliseconds timeout = std::chrono::seconds(10);  ///< for the whole, waiting for a thread included
  std::chrono::milliseconds idle_max = std::chrono::minutes(1);  ///< connections that rested longer are not used
  std::size_t workers = 4;
  std::size_t waiting_max = 64;  ///< for a worker; more are refused
};

/// Errors: request_invalid, with a sentence for the operator.
Result<void> check_ldap_options(const LdapOptions& options);

inline constexpr int kLdapGroupsMax = 200;
inline constexpr std::size_t kLdapPasswordBytesMax = 1024;

struct LdapIdentity {
  std::string user;  ///< name, lower case: the subject is `user:NAME`
  std::string dn;
  std::vector<std::string> groups;  ///< names, sorted, none twice
};

/// Thread-safe. Its end waits for what is under way (LdapOptions::timeout at most); the contexts of those who wait must
/// still be there.
class LdapDirectory {
 public:
  /// Nothing is asked before the first user comes. Errors: request_invalid, with a sentence for the operator.
  static Result<std::unique_ptr<LdapDirectory>> create(LdapOptions options);
  LdapDirectory(const LdapDirectory&) = delete;
  LdapDirectory& operator=(const LdapDirectory&) = delete;
  ~LdapDirectory();

  /// Errors: unauthorized (this user with this password there is not; an empty password never reaches the directory),
  /// unavailable (the directory gives no answer, or too many wait for one). `log_detail` says more. Not cancellable.
  Task<LdapIdentity> authenticate(std::string user, std::string password);
  /// The same of somebody who showed a credential that berth gave it. `user` is its name in berth; it must be found by
  /// user_filter as well. Errors: unauthorized (there is none of this name), unavailable.
  Task<LdapIdentity> find(std::string user);
  /// As long as authenticate() takes for a user who is not there, for somebody whom another source knows: the directory
  /// sees no password of theirs. Errors: always one; unauthorized, unavailable.
  Task<void> ask_in_vain(std::string user);
  /// Looks for somebody who is not there and their groups: does the directory answer, take berth's account, and have the
  /// places that are searched? Errors: unavailable. Not cancellable.
  Task<void> try_once();

 private:
  struct Session {
    std::unique_ptr<LdapConnection> searching;
    std::unique_ptr<LdapConnection> checking;
    LdapDeadline rests_since;
  };

  explicit LdapDirectory(LdapOptions options);
  struct Question {
    std::string user;
    std::optional<std::string> password = {};  ///< without one nobody's is checked
    bool in_vain = false;                      ///< nobody is found
  };
  Task<LdapIdentity> start(Question question);
  Result<void> look_around(LdapDeadline deadline) const;
  Result<LdapIdentity> run(const Question& question, LdapDeadline deadline);
  Result<LdapIdentity> ask(Session& session, const Question& question, LdapDeadline deadline) const;
  Result<void> check_password(Session& session, const std::vector<LdapEntry>& found, const std::string& password,
                              const std::string& filter, LdapDeadline deadline) const;
  Result<void> connect(Session& session, LdapDeadline deadline) const;
  Result<std::vector<std::string>> groups_of(LdapConnection& connection, const LdapIdentity& identity,
                                             LdapDeadline deadline) const;
  Session take_session();
  void give_back(Session session);

  const LdapOptions options_;
  std::atomic<std::size_t> under_way_{0};
  std::mutex mutex_;
  std::vector<Session> resting_;  ///< one a worker at most
  Pool pool_;                     ///< last: its jobs use all of the above
};

}  // namespace berth::auth
