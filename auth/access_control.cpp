#include "auth/access_control.h"

#include <algorithm>
#include <utility>

#include "auth/auth_metrics.h"
#include "auth/authorization_header.h"
#include "auth/certificate_identity.h"
#include "auth/identity_memo.h"
#include "auth/look.h"
#include "auth/oidc.h"
#include "auth/options.h"
#include "auth/password_logins.h"
#include "auth/policy_holder.h"
#include "auth/secrets.h"
#include "auth/stored_access.h"
#include "auth/subjects.h"
#include "auth/token_access.h"
#include "auth/token_service.h"
#include "registry/identities/identities.h"

namespace berth::auth {
namespace {

// How somebody came in. Tokens carry these words, so they stay what they are.
constexpr std::string_view kByPassword = "password";
constexpr std::string_view kByHtpasswd = "htpasswd";
constexpr std::string_view kByLdap = "ldap";
constexpr std::string_view kByRobotSecret = "robot secret";
constexpr std::string_view kByPersonalToken = "personal token";
constexpr std::string_view kByOidc = "oidc";
constexpr std::string_view kByCertificate = "certificate";
constexpr std::string_view kByAnonymousToken = "anonymous token";
constexpr std::string_view kByOutsideToken = "outside token";
constexpr std::string_view kByLocalSocket = "local socket";

constexpr std::string_view kUser = "user:";
constexpr std::string_view kRobot = "robot:";

Error refuse(std::string detail) {
  return make_error(ErrorCode::unauthorized, "the credential is not good", std::move(detail));
}

bool looks_like_secret(std::string_view text) {
  return std::ranges::any_of(std::initializer_list{SecretKind::robot, SecretKind::personal, SecretKind::refresh},
                             [text](SecretKind kind) { return text.starts_with(prefix_of(kind)); });
}

/// A compact JWS whose header is a JSON object.
bool looks_like_jwt(std::string_view text) {
  return text.starts_with("eyJ") && std::ranges::count(text, '.') == 2;
}

registry::SecretHash secret_hash(std::string_view secret) {
  const std::string bytes = hash_secret(secret);
  registry::SecretHash hash{};
  std::ranges::transform(bytes, hash.begin(), [](char c) { return static_cast<std::byte>(c); });
  return hash;
}

Principal local_root() {
  Principal principal;
  principal.subject = kLocalRoot;
  principal.subjects = {std::string(kLocalRoot), std::string(kAuthenticated), std::string(kAnonymous)};
  principal.method = kByLocalSocket;
  principal.actor = registry::kSystemActor;
  return principal;
}

std::vector<PasswordMethod> all_methods() {
  using enum PasswordMethod;
  return {users, htpasswd, robots, tokens, oidc, ldap};
}

}  // namespace

class AccessControl::Impl {
 public:
  static Result<std::unique_ptr<Impl>> create(AuthOptions options, const Parts& parts) {
    if (options.methods.empty()) options.methods = all_methods();
    std::unique_ptr<Impl> impl(new Impl(std::move(options), parts));
    const PasswordLogins::Parts login_parts{parts.identities,    impl->subjects_, parts.disk_pool,
                                            parts.password_pool, parts.clock,     parts.entropy};
    BERTH_TRY(impl->logins_, PasswordLogins::create(impl->options_, login_parts));
    if (!impl->options_.oidc.empty()) {
      BERTH_TRY(impl->federation_,
                OidcFederation::create(impl->options_.oidc, parts.http, parts.disk_pool, parts.clock));
    }
    return impl;
  }

  const AuthOptions& options() const { return options_; }
  PolicyHolder& policies() { return policies_; }
  PasswordLogins& logins() { return *logins_; }
  void stop() {
    logins_->stop();
    if (federation_) federation_->stop();
  }

  std::optional<Recalled> recall(const Glance& shown) {
    if (shown.local) return std::nullopt;
    const IdentityMemo::Moment now = moment();
    auto policy = policies_.recall(now.identities);
    if (!policy) return std::nullopt;
    // Without a count: it stays for as long as this does.
    if (!options_.enabled || shown.nothing) return Recalled{{std::shared_ptr<void>(), &nobody_}, std::move(policy)};
    if (!shown.one_authorization) return std::nullopt;
    auto known = memo_.find({shown.authorization, shown.host, shown.secure}, now);
    count_look_up(AuthCache::identity, known.has_value());
    if (!known) return std::nullopt;
    count_recalled(known->method);
    return Recalled{std::move(known->principal), std::move(policy)};
  }

  Task<Asking> identify(Caller caller) {
    if (caller.local) co_return std::make_shared<const Principal>(local_root());
    if (!options_.enabled) co_return std::make_shared<const Principal>();
    const IdentityMemo::Moment asked = moment();
    Look look{.counted = AuthAttempt(caller.trace)};
    auto looked_at = co_await look_at(caller, look);
    look.counted.end(looked_at);
    if (!looked_at) co_return std::move(looked_at).error();
    auto principal = std::make_shared<const Principal>(*std::move(looked_at));
    if (look.may_keep && look.counted.method() && caller.authorization.size() == 1) {
      memo_.keep({caller.authorization.front(), caller.host, caller.secure}, asked, look.validity,
                 {principal, *look.counted.method()});
    }
    co_return principal;
  }

  Task<Principal> identify_password(std::string user, std::string password, std::string peer, trace::Parent trace) {
    Look look{.counted = AuthAttempt(std::move(trace))};
    auto principal = co_await look_at_password(std::move(user), std::move(password), std::move(peer), look);
    look.counted.end(principal);
    co_return principal;
  }

  Task<Principal> identify_jwt(std::string jwt, trace::Parent trace) {
    Look look{.counted = AuthAttempt(std::move(trace))};
    auto principal = co_await look_at_jwt(std::move(jwt), look);
    look.counted.end(principal);
    co_return principal;
  }

  Task<Principal> principal_of(std::shared_ptr<const VerifiedToken> token) {
    Validity validity;
    co_return co_await principal_of(std::move(token), validity);
  }

  /// `validity` outlives the wait, here and below.
  Task<Principal> principal_of(std::shared_ptr<const VerifiedToken> token, Validity& validity) {
    Ceiling access = auth::ceiling_of(token->access, token->source);
    Principal principal;
    if (token->subject == kAnonymous) {
      principal.method = token->source == TokenSource::own ? kByAnonymousToken : kByOutsideToken;
    } else if (token->source == TokenSource::outside) {
      BERTH_CO_TRY(const auto known, co_await admitted(token->subject));
      principal = Principal::authenticated(token->subject, {}, known->actor, std::string(kByOutsideToken));
    } else {
      BERTH_CO_TRY(principal, co_await admit(token->subject, token->method, token->testimony, validity,
                                                  token->claims.issued_at));
    }
    if (token->source == TokenSource::outside) principal.rights = access.scopes;
    principal.ceiling = intersect(std::move(access), std::move(principal.ceiling));
    principal.from_token = true;
    for (const Scope& scope : token->access) {
      if (scope.type() == "repository") principal.asked_for.push_back(scope.name());
    }
    co_return principal;
  }

  Task<Principal> principal_of_subject(std::string subject) {
    if (subject == kLocalRoot) co_return local_root();
    if (subject == kAnonymous) co_return Principal();
    Principal principal = Principal::authenticated(subject, {}, registry::kAnonymousActor, "question");
    if (subject == kAuthenticated || subject.starts_with("group:")) co_return principal;
    BERTH_CO_TRY(const auto known, co_await subjects_.look_at(subject));
    const bool out = known->local ? !may_come_in(*known) : subject.starts_with(kRobot);
    if (out) {
      principal.subjects.clear();
      co_return principal;
    }
    principal = Principal::authenticated(subject, known->groups, known->actor, "question");
    principal.ceiling = known->ceiling;
    co_return principal;
  }

 private:
  Impl(AuthOptions options, const Parts& parts)
      : options_(std::move(options)),
        parts_(parts),
        subjects_(parts.identities),
        policies_(parts.identities, parts.disk_pool, options_.enabled, options_.roles, options_.grants),
        memo_(parts.entropy) {}

  /// The versions first: what is looked up after is not older than they say.
  IdentityMemo::Moment moment() const {
    return {.identities = parts_.identities.version(),
            .settings = policies_.generation(),
            .wall = parts_.clock.wall(),
            .steady = parts_.clock.steady()};
  }

  bool has(PasswordMethod method) const { return std::ranges::find(options_.methods, method) != options_.methods.end(); }

  bool may_come_in(const KnownSubject& known) const {
    return known.enabled && (known.expires_at == WallTime{} || parts_.clock.wall() < known.expires_at);
  }
  bool may_come_in(const KnownSubject& known, Validity& validity) const {
    if (known.expires_at != WallTime{}) validity.until(known.expires_at);
    return may_come_in(known);
  }

  /// Errors: unauthorized as well, for what nobody can be called (the local socket's own name among it).
  Task<Subjects::Known> admitted(std::string subject) {
    auto known = co_await subjects_.admitted(subject);
    if (known.failed_with(ErrorCode::request_invalid)) co_return refuse("no subject: " + known.error().message);
    co_return known;
  }

  /// The principal of a subject whose credential is good, if it may come in now. `issued_at` is that of a token or
  /// secret.
  Task<Principal> admit(std::string subject, std::string_view by, Testimony testimony, Validity& validity,
                        WallTime issued_at = {}) {
    const std::string method(by);
    BERTH_CO_TRY(const auto known, co_await admitted(subject));
    BERTH_CO_TRY(std::vector<std::string> outside, co_await check_still_there(subject, method, known, issued_at, validity));
    std::optional<Ceiling> ceiling = known->ceiling;
    if (!testimony.credential.empty()) {
      // The token's access is not all: what the credential is limited to holds for lists, and for whatever comes later.
      BERTH_CO_TRY(const auto credential, co_await subjects_.find_credential(subject, testimony.credential));
      if (!credential || !may_come_in(*credential, validity)) {
        co_return refuse("the credential that the token was had with is revoked: " + subject);
      }
      ceiling = intersect(std::move(ceiling), credential->ceiling);
    }
    std::vector<std::string> groups = known->groups;
    groups.insert(groups.end(), outside.begin(), outside.end());
    groups.insert(groups.end(), testimony.groups.begin(), testimony.groups.end());
    Principal principal = Principal::authenticated(std::move(subject), std::move(groups), known->actor, method);
    principal.ceiling = std::move(ceiling);
    if (!testimony.roles.empty()) {
      BERTH_CO_TRY(const auto policy, co_await policies_.current());
      for (const FederatedRole& role : testimony.roles) {
        principal.rights.push_back({role.repositories, policy->actions_of_role(role.role)});
      }
    }
    principal.testimony = std::move(testimony);
    co_return principal;
  }

  /// May the subject of a good credential come in now? Gives the groups that a directory says it has.
  Task<std::vector<std::string>> check_still_there(std::string subject, std::string method, Subjects::Known known,
                                                   WallTime issued_at, Validity& validity) {
    std::vector<std::string> groups;
    if (known->local) {
      if (!may_come_in(*known, validity)) co_return refuse(subject + " is disabled or expired");
      // Tokens know seconds. One that is older than its subject was made for somebody else of that name.
      const bool older = std::chrono::floor<std::chrono::seconds>(known->created_at) > issued_at;
      if (issued_at != WallTime{} && older) co_return refuse("the token is older than " + subject);
      if (method != kByHtpasswd) co_return groups;
    }
    const bool user = subject.starts_with(kUser);
    if (!user) {
      if (subject.starts_with(kRobot)) co_return refuse("there is no " + subject);
      co_return groups;  // whoever vouches for it has just done so
    }
    // A name of berth's own that is not there was deleted, unless somebody else knows it.
    const std::string name = subject.substr(kUser.size());
    const bool given = method == kByPersonalToken;
    if (method == kByHtpasswd || given) {
      BERTH_CO_TRY(const bool listed, co_await logins_->in_htpasswd(name, validity));
      if (listed) co_return groups;
    }
    if (given && logins_->has_directory()) co_return co_await logins_->groups_in_directory(name, validity);
    if (method == kByLdap && logins_->has_directory()) co_return groups;
    co_return refuse("there is no " + subject + " any more");
  }

  Task<Principal> look_at(const Caller& caller, Look& look) {
    BERTH_CO_TRY(auto shown, parse_authorization(caller.authorization));
    if (auto* bearer = std::get_if<BearerCredential>(&shown)) {
      if (looks_like_secret(bearer->token)) co_return co_await identify_secret(std::move(bearer->token), look);
      look.counted.is(AuthMethod::bearer);
      RequestOrigin origin{caller.host, caller.secure};
      BERTH_CO_TRY(auto token, co_await parts_.tokens.verify(std::move(bearer->token), std::move(origin), &look.validity));
      look.may_keep = true;
      co_return co_await principal_of(std::move(token), look.validity);
    }
    if (auto* basic = std::get_if<BasicCredential>(&shown)) {
      co_return co_await look_at_password(std::move(basic->user), std::move(basic->password), caller.peer, look);
    }
    if (caller.certificate) co_return co_await identify_certificate(caller.certificate, look);
    co_return Principal();
  }

  Task<Principal> look_at_password(std::string user, std::string password, std::string peer, Look& look) {
    if (looks_like_secret(password)) co_return co_await identify_secret(std::move(password), look);
    if (federation_ && has(PasswordMethod::oidc) && looks_like_jwt(password)) {
      co_return co_await look_at_jwt(std::move(password), look);
    }
    look.counted.is(AuthMethod::basic);
    BERTH_CO_TRY(PasswordIdentity identity,
                 co_await logins_->check(std::move(user), std::move(password), std::move(peer), &look));
    std::string_view method = kByPassword;
    if (identity.method == PasswordMethod::htpasswd) method = kByHtpasswd;
    if (identity.method == PasswordMethod::ldap) method = kByLdap;
    Testimony testimony{.groups = std::move(identity.groups)};
    BERTH_CO_TRY(Principal principal, co_await admit(registry::user_subject(identity.name), method,
                                                     std::move(testimony), look.validity));
    principal.may_refresh = method == kByPassword;
    look.may_keep = true;
    co_return principal;
  }

  /// Not kept: whose keys the issuer withdraws is its own affair, and it is asked for them here.
  Task<Principal> look_at_jwt(std::string jwt, Look& look) {
    look.counted.is(AuthMethod::oidc);
    if (!federation_) co_return refuse("no outside issuer is set up");
    BERTH_CO_TRY(FederatedIdentity identity, co_await federation_->authenticate(std::move(jwt), look.counted.trace()));
    Testimony testimony{.groups = {}, .roles = std::move(identity.roles)};
    for (const std::string& group : identity.groups) testimony.groups.push_back(registry::group_subject(group));
    BERTH_CO_TRY(Principal principal,
                 co_await admit(std::move(identity.subject), kByOidc, std::move(testimony), look.validity));
    principal.vouched_until = identity.expires;
    co_return principal;
  }

  Task<Principal> identify_secret(std::string secret, Look& look) {
    look.counted.is(AuthMethod::secret);
    const auto kind = parse_secret(secret);
    const bool robot = kind == SecretKind::robot;
    if (!robot && kind != SecretKind::personal) co_return refuse("a secret that is none, or a refresh token");
    if (!has(robot ? PasswordMethod::robots : PasswordMethod::tokens)) co_return refuse("a secret of a kind that is switched off");
    const registry::SecretHash hash = secret_hash(secret);
    BERTH_CO_TRY(const auto credential, co_await parts_.identities.find_credential(hash));
    const auto wanted = robot ? registry::CredentialKind::robot_secret : registry::CredentialKind::personal_token;
    if (!credential || credential->kind != wanted) co_return refuse("a secret of nobody");
    if (credential->expires_at != WallTime{}) {
      if (credential->expires_at <= parts_.clock.wall()) co_return refuse("an expired secret of " + credential->owner);
      look.validity.until(credential->expires_at);
    }
    BERTH_CO_TRY(Principal principal,
                 co_await admit(credential->owner, robot ? kByRobotSecret : kByPersonalToken, Testimony{},
                                look.validity, credential->created_at));
    principal.testimony.credential = credential_text(robot, credential->id);
    principal.ceiling = intersect(std::move(principal.ceiling), auth::ceiling_of(credential->ceiling));
    parts_.identities.note_use(*credential);
    look.may_keep = true;
    co_return principal;
  }

  /// Not kept: it goes with the connection, and is no header.
  Task<Principal> identify_certificate(std::shared_ptr<const ClientCertificate> certificate, Look& look) {
    auto identity = identity_of(options_.certificates, *certificate);
    if (!identity) co_return Principal();
    look.counted.is(AuthMethod::mtls);
    Testimony testimony{.groups = std::move(identity->groups)};
    co_return co_await admit(std::move(identity->subject), kByCertificate, std::move(testimony), look.validity);
  }

  const AuthOptions options_;
  const Parts parts_;
  Subjects subjects_;
  PolicyHolder policies_;
  std::unique_ptr<PasswordLogins> logins_;
  std::unique_ptr<OidcFederation> federation_;  ///< null without issuers
  const Principal nobody_;
  IdentityMemo memo_;
};

AccessControl::AccessControl(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AccessControl::~AccessControl() { stop(); }

Result<std::unique_ptr<AccessControl>> AccessControl::create(AuthOptions options, const Parts& parts) {
  BERTH_TRY(auto impl, Impl::create(std::move(options), parts));
  return std::unique_ptr<AccessControl>(new AccessControl(std::move(impl)));
}

bool AccessControl::enabled() const { return impl_->options().enabled; }
const AuthOptions& AccessControl::options() const { return impl_->options(); }
std::optional<AccessControl::Recalled> AccessControl::recall(const Glance& shown) { return impl_->recall(shown); }
Task<AccessControl::Asking> AccessControl::identify(Caller caller) { return impl_->identify(std::move(caller)); }
Task<Principal> AccessControl::identify_password(std::string user, std::string password, std::string peer,
                                                 trace::Parent trace) {
  return impl_->identify_password(std::move(user), std::move(password), std::move(peer), std::move(trace));
}
Task<Principal> AccessControl::identify_jwt(std::string jwt, std::string, trace::Parent trace) {
  return impl_->identify_jwt(std::move(jwt), std::move(trace));
}
Task<Principal> AccessControl::principal_of(std::shared_ptr<const VerifiedToken> token) {
  return impl_->principal_of(std::move(token));
}
Task<Principal> AccessControl::principal_of_subject(std::string subject) {
  return impl_->principal_of_subject(std::move(subject));
}
Task<std::shared_ptr<const Policy>> AccessControl::policy() { return impl_->policies().current(); }
void AccessControl::set_configured(std::vector<Role> roles, std::vector<Grant> grants) {
  impl_->policies().set_configured(std::move(roles), std::move(grants));
}
Task<std::string> AccessControl::hash_password(std::string password) {
  return impl_->logins().hash(std::move(password));
}
std::chrono::seconds AccessControl::retry_after(std::string_view user, std::string_view peer) {
  return impl_->logins().retry_after(user, peer);
}
std::chrono::seconds AccessControl::retry_after(const Caller& caller) {
  const auto shown = parse_authorization(caller.authorization);
  const auto* basic = shown ? std::get_if<BasicCredential>(&*shown) : nullptr;
  return basic == nullptr ? std::chrono::seconds(1) : retry_after(basic->user, caller.peer);
}
void AccessControl::stop() { impl_->stop(); }

}  // namespace berth::auth
