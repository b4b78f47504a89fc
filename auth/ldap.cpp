#include "auth/ldap.h"

#include <ldap.h>
#include <signal.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "auth/account_name.h"
#include "auth/ldap_filter.h"
#include "auth/ldap_on_demand.h"
#include "auth/secret_file.h"
#include "base/log.h"

namespace berth::auth {
namespace {

/// The same for all that a stranger could tell apart.
Error wrong(std::string why) {
  return make_error(ErrorCode::unauthorized, "the user name or the password is wrong", std::move(why));
}

/// The name of a user in berth, out of the entry that was found for what they typed.
std::optional<std::string> name_of(const LdapEntry& entry, const std::string& typed) {
  std::vector<std::string> names;
  for (const auto& value : entry.values)
    if (auto name = account_name(value)) names.push_back(*std::move(name));
  if (std::find(names.begin(), names.end(), typed) != names.end()) return typed;
  // Values have no order: with several, the same person would be somebody else now and then.
  if (names.size() != 1) return std::nullopt;
  return names.front();
}

/// A directory that closes must not end the process.
void block_broken_pipes() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
}

}  // namespace

Result<void> check_ldap_options(const LdapOptions& options) {
  const auto refuse = [](std::string why) { return make_error(ErrorCode::request_invalid, std::move(why)); };
  const auto is_filter = [](std::string_view text) { return text.starts_with('(') && text.ends_with(')'); };
  if (options.endpoint.urls.empty()) return refuse("the directory has no address");
  for (const auto& url : options.endpoint.urls) {
    const auto at = url.find("://");
    const bool good = (url.starts_with("ldap://") || url.starts_with("ldaps://")) && at + 3 < url.size() &&
                      url.find_first_of("/?#@ ", at + 3) == std::string::npos;
    if (!good) return refuse(fmt::format("{} is neither ldap://HOST[:PORT] nor ldaps://HOST[:PORT]", url));
  }
  if (options.bind_dn.empty() != options.bind_password_file.empty())
    return refuse("the account that berth searches with needs both its DN and a file with its password");
  if (options.user_base.empty()) return refuse("the place of the users is not named");
  if (!is_filter(options.user_filter) || options.user_filter.find("{user}") == std::string::npos)
    return refuse("the filter of users is not in parentheses, or has no {user}");
  if (options.name_attribute.empty()) return refuse("the attribute with a user's name is not named");
  if (!options.group_base.empty()) {
    const auto& filter = options.group_filter;
    if (!is_filter(filter) || (filter.find("{dn}") == std::string::npos && filter.find("{user}") == std::string::npos))
      return refuse("the filter of groups is not in parentheses, or has neither {dn} nor {user}");
    if (options.group_attribute.empty()) return refuse("the attribute with a group's name is not named");
  }
  if (options.timeout.count() <= 0 || options.endpoint.connect_timeout.count() <= 0)
    return refuse("a time-out is not positive");
  if (options.workers == 0 || options.workers > 64) return refuse("there are 1 to 64 workers");
  return {};
}

Result<std::unique_ptr<LdapDirectory>> LdapDirectory::create(LdapOptions options) {
  BERTH_CHECK(check_ldap_options(options));
  if (const std::string& problem = libldap().load(); !problem.empty())
    return make_error(ErrorCode::unavailable, "libldap cannot be loaded: " + problem);
  // libldap sets itself up at its first call, which must not be made by two threads at once.
  int version = 0;
  ldap_get_option(nullptr, LDAP_OPT_PROTOCOL_VERSION, &version);
  return std::unique_ptr<LdapDirectory>(new LdapDirectory(std::move(options)));
}

LdapDirectory::LdapDirectory(LdapOptions options) : options_(std::move(options)), pool_("ldap", options_.workers) {}

LdapDirectory::~LdapDirectory() { pool_.stop(); }

Task<LdapIdentity> LdapDirectory::authenticate(std::string user, std::string password) {
  auto name = account_name(user);
  if (!name) co_return wrong("what was typed is no name of a user");
  // A bind with an empty password succeeds in many directories (RFC 4513 §5.1.2).
  if (password.empty()) co_return wrong("the password is empty");
  if (password.size() > kLdapPasswordBytesMax) co_return wrong("the password is too long");
  Question question{.user = *std::move(name), .password = std::move(password)};
  co_return co_await start(std::move(question));
}

Task<LdapIdentity> LdapDirectory::find(std::string user) {
  const std::string name = user;
  Question question{.user = std::move(user)};
  BERTH_CO_TRY(LdapIdentity found, co_await start(std::move(question)));
  // The filter may find people by other words, too.
  if (found.user != name) co_return wrong(fmt::format("{} is found as {}", name, found.user));
  co_return found;
}

Task<void> LdapDirectory::ask_in_vain(std::string user) {
  Question question{.user = std::move(user), .password = "none", .in_vain = true};
  auto found = co_await start(std::move(question));
  co_return std::move(found).error();
}

Task<void> LdapDirectory::try_once() {
  const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
  auto job = [this, deadline] {
    auto answer = look_around(deadline);
    ignore(answer);
    return answer;
  };
  co_return co_await offload(pool_, std::move(job));
}

Result<void> LdapDirectory::look_around(LdapDeadline deadline) const {
  block_broken_pipes();
  const Question nobody{.user = "berth-doctor"};
  Session session;
  // That there is no such user is the answer of a directory that works.
  auto found = ask(session, nobody, deadline);
  if (found.failed_with(ErrorCode::unavailable)) return std::move(found).error();
  ignore(found);
  if (options_.group_base.empty()) return {};
  const LdapIdentity identity{.user = nobody.user, .dn = "cn=" + nobody.user + "," + options_.user_base, .groups = {}};
  auto groups = groups_of(*session.searching, identity, deadline);
  if (groups) return {};
  return std::move(groups).error();
}

Task<LdapIdentity> LdapDirectory::start(Question question) {
  const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
  if (under_way_.fetch_add(1) >= options_.workers + options_.waiting_max) {
    under_way_.fetch_sub(1);
    co_return make_error(ErrorCode::unavailable, "too many logins wait for the directory of users");
  }
  auto job = [this, question = std::move(question), deadline] {
    auto answer = run(question, deadline);
    under_way_.fetch_sub(1);
    ignore(answer);  // a context that ends before it runs again drops it
    return answer;
  };
  co_return co_await offload(pool_, std::move(job));
}

Result<LdapIdentity> LdapDirectory::run(const Question& question, LdapDeadline deadline) {
  block_broken_pipes();
  Session session = take_session();
  const bool reused = session.searching != nullptr;
  auto answer = ask(session, question, deadline);
  if (reused && answer.failed_with(ErrorCode::unavailable) && std::chrono::steady_clock::now() < deadline) {
    // Directories close connections that rest; only a new one tells whether it is there.
    session = {};
    answer = ask(session, question, deadline);
  }
  if (answer.failed_with(ErrorCode::unavailable)) {
    log::warning("the directory of users cannot be asked", {{"detail", answer.error().log_detail}});
  } else {
    give_back(std::move(session));
  }
  return answer;
}

Result<LdapIdentity> LdapDirectory::ask(Session& session, const Question& question, LdapDeadline deadline) const {
  const std::string& user = question.user;
  BERTH_CHECK(connect(session, deadline));
  const auto filter = fill_filter(options_.user_filter, {{"user", user}});
  auto found = session.searching->search(options_.user_base, filter, options_.name_attribute, 1, deadline);
  if (found.failed_with(ErrorCode::request_too_large))
    return wrong(fmt::format("several entries match {}: narrow the filter of users", filter));
  if (!found) return std::move(found).error();
  if (question.in_vain) found->clear();
  if (question.password) BERTH_CHECK(check_password(session, *found, *question.password, filter, deadline));
  if (found->empty() || found->front().dn.empty()) return wrong(fmt::format("no entry matches {}", filter));
  const LdapEntry& entry = found->front();
  const auto name = name_of(entry, user);
  if (!name) return wrong(fmt::format("{}: {} holds no name, or several", entry.dn, options_.name_attribute));
  LdapIdentity identity{.user = *name, .dn = entry.dn, .groups = {}};
  if (!options_.group_base.empty()) {
    BERTH_TRY(identity.groups, groups_of(*session.searching, identity, deadline));
  }
  return identity;
}

Result<void> LdapDirectory::check_password(Session& session, const std::vector<LdapEntry>& found,
                                           const std::string& password, const std::string& filter,
                                           LdapDeadline deadline) const {
  if (found.empty() || found.front().dn.empty()) {
    // As many round trips as for a user who is there.
    auto nobody = session.checking->bind("cn=nobody," + options_.user_base, password, deadline);
    if (nobody.failed_with(ErrorCode::unavailable)) return std::move(nobody).error();
    ignore(nobody);
    return wrong(fmt::format("no entry matches {}", filter));
  }
  auto bound = session.checking->bind(found.front().dn, password, deadline);
  if (bound.failed_with(ErrorCode::unauthorized)) return wrong(found.front().dn + ": " + bound.error().log_detail);
  return bound;
}

Result<void> LdapDirectory::connect(Session& session, LdapDeadline deadline) const {
  if (!session.searching) {
    BERTH_TRY(auto opened, LdapConnection::open(options_.endpoint, deadline));
    if (!options_.bind_dn.empty()) {
      BERTH_TRY(const auto password, read_secret_file(options_.bind_password_file));
      auto bound = opened->bind(options_.bind_dn, password, deadline);
      if (!bound) {
        Error error = std::move(bound).error();
        error.code = ErrorCode::unavailable;  // it is berth's own account that is refused, not the user
        error.log_detail = options_.bind_dn + ": " + error.log_detail;
        return error;
      }
    }
    session.searching = std::move(opened);
  }
  if (!session.checking) {
    BERTH_TRY(session.checking, LdapConnection::open(options_.endpoint, deadline));
  }
  return {};
}

Result<std::vector<std::string>> LdapDirectory::groups_of(LdapConnection& connection, const LdapIdentity& identity,
                                                          LdapDeadline deadline) const {
  const auto filter = fill_filter(options_.group_filter, {{"dn", identity.dn}, {"user", identity.user}});
  auto found = connection.search(options_.group_base, filter, options_.group_attribute, kLdapGroupsMax, deadline);
  if (found.failed_with(ErrorCode::request_too_large)) {
    // Some of them would be a guess at somebody's rights.
    return make_error(
        ErrorCode::unavailable, "the user is in too many groups",
        fmt::format("{} is in more than {} groups: narrow the filter of groups", identity.dn, kLdapGroupsMax));
  }
  if (!found) return std::move(found).error();
  std::vector<std::string> groups;
  for (const auto& entry : *found)
    for (const auto& value : entry.values)
      if (auto name = account_name(value)) groups.push_back(*std::move(name));
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  return groups;
}

LdapDirectory::Session LdapDirectory::take_session() {
  const auto now = std::chrono::steady_clock::now();
  std::vector<Session> tired;  // closed outside the lock
  std::lock_guard lock(mutex_);
  while (!resting_.empty()) {
    Session last = std::move(resting_.back());
    resting_.pop_back();
    if (now - last.rests_since <= options_.idle_max) return last;
    tired.push_back(std::move(last));
  }
  return {};
}

void LdapDirectory::give_back(Session session) {
  session.rests_since = std::chrono::steady_clock::now();
  std::lock_guard lock(mutex_);
  resting_.push_back(std::move(session));
}

}  // namespace berth::auth
