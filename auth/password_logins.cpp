#include "auth/password_logins.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "auth/account_name.h"
#include "base/log.h"
#include "registry/identities/identities.h"

namespace berth::auth {
namespace {

constexpr std::size_t kDirectoryKept = 4096;
/// What names of accounts are for the throttle when they are none.
constexpr std::string_view kNoName = "?";
/// With a directory no failed login ends sooner: a directory takes its own time for each name, and others know theirs
/// without it.
constexpr std::chrono::milliseconds kFailureTakes{500};

/// Before another entry: what is too old goes, and when that is nothing, everything.
template <class Map>
void make_room(Map& kept, SteadyTime now) {
  if (kept.size() < kDirectoryKept) return;
  std::erase_if(kept, [now](const auto& entry) { return entry.second.until <= now; });
  if (kept.size() >= kDirectoryKept) kept.clear();
}

Error refuse(std::string detail) {
  return make_error(ErrorCode::unauthorized, "the credential is not good", std::move(detail));
}

/// Strangers get half of what may run and wait at most: the rest is for those who are known, of whom nobody gets more
/// than half either.
LoginThrottle::Options throttle_options(const AuthOptions& options) {
  LoginThrottle::Options throttle = options.throttle;
  const std::size_t half = std::max<std::size_t>(1, (options.passwords.workers + options.passwords.queue_max) / 2);
  throttle.strangers_at_once = std::min(throttle.strangers_at_once, half);
  throttle.known_at_once = std::min(throttle.known_at_once, half);
  return throttle;
}

}  // namespace

PasswordLogins::PasswordLogins(const AuthOptions& options, const Parts& parts)
    : methods_(options.methods),
      directory_lifetime_(options.outside_identity_lifetime),
      parts_(parts),
      checker_(parts.password_pool, options.passwords),
      verified_(parts.entropy, options.verified),
      throttle_(parts.entropy, throttle_options(options)) {}

Result<std::unique_ptr<PasswordLogins>> PasswordLogins::create(const AuthOptions& options, const Parts& parts) {
  std::unique_ptr<PasswordLogins> logins(new PasswordLogins(options, parts));
  if (!options.htpasswd_file.empty()) {
    BERTH_TRY(logins->htpasswd_, HtpasswdFile::open(options.htpasswd_file, parts.disk_pool, parts.clock));
  }
  if (options.ldap) {
    BERTH_TRY(logins->directory_, LdapDirectory::create(*options.ldap));
  }
  return logins;
}

std::chrono::seconds PasswordLogins::retry_after(std::string_view user, std::string_view peer) {
  const auto name = account_name(user);
  const auto wait = throttle_.wait(name ? std::string_view(*name) : kNoName, peer, parts_.clock.steady());
  return std::max(wait, std::chrono::seconds(1));
}

Task<bool> PasswordLogins::in_htpasswd(std::string user, Validity& validity) {
  if (!htpasswd_) co_return false;
  validity.until(htpasswd_->good_until());
  BERTH_CO_TRY(const auto file, co_await HtpasswdFile::current(htpasswd_));
  co_return file->find(user) != nullptr;
}

Task<PasswordIdentity> PasswordLogins::check(std::string user, std::string password, std::string peer,
                                             Look* look) {
  if (password.size() > kPasswordSizeMax) co_return refuse("a password that is too long");
  Look nobodys;
  Login login{.name = account_name(user).value_or(""),
              .password = std::move(password),
              .peer = std::move(peer),
              .look = look ? look : &nobodys};
  auto identity = co_await run(login);
  if (!login.attempt) co_return identity;
  // Whoever was stopped by something that broke has not failed.
  const bool failed = login.wrong || identity.failed_with(ErrorCode::unauthorized);
  if (identity) login.attempt->succeeded(parts_.clock.steady());
  if (failed) login.attempt->failed(parts_.clock.steady());
  if (failed && directory_) {
    asio::steady_timer rest(co_await asio::this_coro::executor, login.admitted_at + kFailureTakes);
    boost::system::error_code given_up;
    co_await rest.async_wait(asio::redirect_error(asio::use_awaitable, given_up));
  }
  co_return identity;
}

/// Before the first slow check of a login: waits until it is its turn.
Task<void> PasswordLogins::admit(Login& login) {
  if (login.attempt) co_return Result<void>{};
  auto line_up = [this, &login](std::shared_ptr<LoginThrottle::Turn> turn) {
    const std::string_view account = login.name.empty() ? kNoName : std::string_view(login.name);
    throttle_.admit(account, login.peer, parts_.clock.steady(), std::move(turn));
  };
  BERTH_CO_TRY(auto admission, co_await completion_of<LoginThrottle::Admission>(std::move(line_up)));
  if (!admission.attempt) {
    count_rate_limited(admission.refused_by_address ? RateLimit::ip : RateLimit::user);
    co_return make_error(ErrorCode::too_many_requests, "too many failed logins; try again later");
  }
  login.attempt.emplace(*std::move(admission.attempt));
  login.admitted_at = std::chrono::steady_clock::now();
  co_return Result<void>{};
}

Task<bool> PasswordLogins::verify(Login& login, std::string kind, std::string hash) {
  // The hash is part of it: whoever's password changed is not known by the old one.
  const std::string who = kind + ':' + login.name + ' ' + hash;
  const auto lookup = verified_.look_up(who, login.password, parts_.clock.steady());
  count_look_up(AuthCache::password, lookup.known);
  if (lookup.known) {
    login.look->validity.until(lookup.until);
    co_return true;
  }
  login.look->validity.never();
  BERTH_CO_CHECK(co_await admit(login));
  trace::Span span(login.trace(), "check password");
  BERTH_CO_TRY(const bool right, co_await checker_.check(std::move(hash), login.password));
  span.end();
  if (right) verified_.remember(lookup, who, parts_.clock.steady());
  co_return right;
}

Task<PasswordIdentity> PasswordLogins::ask_directory(Login& login) {
  login.look->counted.is(AuthMethod::ldap);
  const std::string who = "ldap:" + login.name;
  const SteadyTime now = parts_.clock.steady();
  const auto lookup = verified_.look_up(who, login.password, now);
  count_look_up(AuthCache::password, lookup.known);
  if (lookup.known) {
    const std::lock_guard lock(mutex_);
    const auto found = from_directory_.find(lookup.mac);
    if (found != from_directory_.end() && now < found->second.until) {
      login.look->validity.until(std::min(lookup.until, found->second.until));
      co_return PasswordIdentity{found->second.name, PasswordMethod::ldap, found->second.groups};
    }
  }
  login.look->validity.never();
  BERTH_CO_CHECK(co_await admit(login));
  trace::Span span(login.trace(), trace::Kind::client, "ask directory");
  auto answer = co_await directory_->authenticate(login.name, login.password);
  if (!answer && !answer.failed_with(ErrorCode::unauthorized)) span.fail(to_string(answer.error().code));
  span.end();
  BERTH_CO_TRY(const LdapIdentity said, std::move(answer));
  PasswordIdentity identity{said.user, PasswordMethod::ldap, {}};
  for (const std::string& group : said.groups) identity.groups.push_back(registry::group_subject(group));

  const SteadyTime until = parts_.clock.steady() + directory_lifetime_;
  verified_.remember(lookup, who, parts_.clock.steady());
  const std::lock_guard lock(mutex_);
  make_room(from_directory_, now);
  from_directory_[lookup.mac] = {identity.groups, identity.name, until};
  co_return identity;
}

Task<std::vector<std::string>> PasswordLogins::groups_in_directory(std::string user, Validity& validity) {
  const SteadyTime now = parts_.clock.steady();
  {
    const std::lock_guard lock(mutex_);
    const auto found = in_directory_.find(user);
    if (found != in_directory_.end() && now < found->second.until) {
      validity.until(found->second.until);
      co_return found->second.groups;
    }
  }
  validity.never();
  BERTH_CO_TRY(const LdapIdentity said, co_await directory_->find(user));
  std::vector<std::string> groups;
  for (const std::string& group : said.groups) groups.push_back(registry::group_subject(group));
  const std::lock_guard lock(mutex_);
  make_room(in_directory_, now);
  in_directory_[user] = {groups, user, parts_.clock.steady() + directory_lifetime_};
  co_return groups;
}

Task<PasswordIdentity> PasswordLogins::run(Login& login) {
  for (const PasswordMethod method : methods_) {
    if (login.name.empty()) break;
    if (method == PasswordMethod::users) {
      BERTH_CO_TRY(const auto user, co_await parts_.subjects.find_user(login.name));
      if (!user || user->password_hash.empty()) continue;
      BERTH_CO_TRY(const bool right, co_await verify(login, "users", user->password_hash));
      if (!right) co_return co_await refuse_known(login, method, "a wrong password for user:" + login.name);
      if (login.attempt) {
        parts_.identities.note_login(login.name);
        if (needs_rehash(user->password_hash, checker_.cost())) {
          auto stored = co_await rehash(login.name, user->password_hash, login.password);
          if (!stored) log::warning("a password's hash was not made anew", {{"error", stored.error().message}});
        }
      }
      co_return PasswordIdentity{login.name, method};
    }
    if (method == PasswordMethod::htpasswd && htpasswd_) {
      login.look->validity.until(htpasswd_->good_until());
      BERTH_CO_TRY(const auto file, co_await HtpasswdFile::current(htpasswd_));
      const std::string* const hash = file->find(login.name);
      if (hash == nullptr) continue;
      BERTH_CO_TRY(const bool right, co_await verify(login, "htpasswd", *hash));
      if (!right) {
        co_return co_await refuse_known(login, method,
                                        "a wrong password for user:" + login.name + " of the htpasswd file");
      }
      co_return PasswordIdentity{login.name, method};
    }
    if (method == PasswordMethod::ldap && directory_) {
      login.asked_directory = true;
      auto identity = co_await ask_directory(login);
      if (identity) BERTH_CO_CHECK(co_await check_not_local(identity->name));
      if (identity || identity.failed_with(ErrorCode::too_many_requests)) co_return identity;
      if (!identity.failed_with(ErrorCode::unauthorized)) login.trouble = std::move(identity).error();
    }
  }
  BERTH_CO_CHECK(co_await admit(login));
  auto checked = co_await check_decoys(login, std::nullopt);
  if (login.trouble) {
    ignore(checked);
    login.wrong = true;  // it counts as with a name that others know
    co_return *std::move(login.trouble);
  }
  if (!checked) co_return std::move(checked).error();
  co_return refuse("an unknown user, or a wrong password");
}

/// A wrong password for a name that `method` knows ends as one for a name that nobody knows.
Task<PasswordIdentity> PasswordLogins::refuse_known(Login& login, PasswordMethod method, std::string detail) {
  login.wrong = true;
  const bool is_asked = std::ranges::find(methods_, PasswordMethod::ldap) != methods_.end();
  // Without a password it is not asked about those whom nobody knows, either.
  if (directory_ && is_asked && !login.asked_directory && !login.password.empty()) {
    Error said = (co_await directory_->ask_in_vain(login.name)).error();
    if (said.code != ErrorCode::unauthorized) login.trouble = std::move(said);
  }
  ignore(co_await check_decoys(login, method));
  if (login.trouble) co_return *std::move(login.trouble);
  co_return refuse(std::move(detail));
}

/// A wrong password takes one check of each kind that there is, whoever knows the name and also when nobody does: how
/// long it takes says nothing about that. `checked` is the one that was made. Errors: as of a real check, when none was
/// made; after one that said no there is nothing more to say.
Task<void> PasswordLogins::check_decoys(Login& login, std::optional<PasswordMethod> checked) {
  bool counts = !checked;
  for (const PasswordMethod method : methods_) {
    const bool file = method == PasswordMethod::htpasswd && htpasswd_;
    if (method == checked || (method != PasswordMethod::users && !file)) continue;
    std::string decoy;
    if (file) {
      BERTH_CO_TRY(const auto users, co_await HtpasswdFile::current(htpasswd_));
      decoy = users->decoy();
    }
    const trace::Span span(login.trace(), "check password");
    const auto done = co_await checker_.check_unknown_user(login.password, std::move(decoy));
    if (counts && !done) co_return done.error();
    counts = false;
  }
  co_return Result<void>{};
}

/// A directory may say a name that is not the one that was typed: it does not let anybody in as one of berth's own.
Task<void> PasswordLogins::check_not_local(std::string name) {
  BERTH_CO_TRY(const auto user, co_await parts_.subjects.find_user(name));
  if (user && !user->password_hash.empty()) {
    co_return refuse("the directory let somebody in as user:" + name + ", who has a password of berth's own");
  }
  if (!htpasswd_ || std::ranges::find(methods_, PasswordMethod::htpasswd) == methods_.end()) co_return Result<void>{};
  BERTH_CO_TRY(const auto file, co_await HtpasswdFile::current(htpasswd_));
  if (file->find(name) == nullptr) co_return Result<void>{};
  co_return refuse("the directory let somebody in as user:" + name + ", who is in the htpasswd file");
}

/// To the cost of now, while the password is at hand.
Task<void> PasswordLogins::rehash(std::string name, std::string old_hash, std::string password) {
  BERTH_CO_TRY(auto hash, co_await checker_.hash(std::move(password), parts_.entropy));
  const registry::Actor actor{.id = registry::kSystemActor, .request_id = {}, .name = {}};
  co_return co_await parts_.identities.replace_hash(actor, std::move(name), std::move(old_hash), std::move(hash));
}

}  // namespace berth::auth
