// Accounts with everything behind them but the network, and people who come in by every way that is kept.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "auth/access_control.h"
#include "auth/secrets.h"
#include "base/base64.h"
#include "base/bytes.h"
#include "base/http_client.h"
#include "tests/unit/auth/token_world.h"

namespace berth::auth::testing {

inline constexpr Argon2Cost kCheap{.iterations = 1, .memory_kib = 8, .lanes = 1};

struct World : IdentityWorld {
  explicit World(std::string htpasswd = {}, const Argon2Cost& made_at = kCheap,
                 const std::string& public_url = "https://registry.example", std::vector<PasswordMethod> methods = {})
      : cost(made_at) {
    AuthOptions options;
    options.enabled = true;
    options.methods = std::move(methods);
    options.passwords.cost = cost;
    options.htpasswd_file = std::move(htpasswd);
    auto service = TokenService::create({}, public_url, {identities(), pool, clock, entropy});
    REQUIRE(service.has_value());
    tokens = *std::move(service);
    auto made = AccessControl::create(options, {identities(), *tokens, http, pool, pool, clock, entropy});
    REQUIRE(made.has_value());
    access = *std::move(made);
  }
  ~World() { http.stop(); }

  void add_user(const std::string& name, const std::string& password, std::vector<std::string> groups = {}) {
    must(identities().create_user(
        kRoot, {.name = name, .password_hash = hash_password(password, entropy, cost).value(), .groups = std::move(groups)}));
  }
  registry::IdentityNumber give(const std::string& subject, const std::string& repositories,
                                registry::ActionMask actions = registry::action::pull) {
    return must(identities().create_grant(
                    kRoot, {.subjects = {subject}, .repositories = {repositories}, .actions = actions}))
        .id;
  }
  /// A secret of this kind, stored.
  std::string secret(SecretKind kind, const std::string& owner, registry::IdentityNumber* id = nullptr,
                     registry::OwnerOrigin origin = registry::OwnerOrigin::local, WallTime expires_at = {}) {
    const Secret made = make_secret(kind, entropy);
    registry::NewCredential credential{.name = "one", .expires_at = expires_at};
    std::memcpy(credential.hash.data(), made.hash.data(), credential.hash.size());
    const auto stored = kind == SecretKind::robot
                            ? must(identities().add_robot_secret(kRoot, owner.substr(owner.find(':') + 1), credential))
                            : must(identities().create_token(kRoot, owner, origin, credential));
    if (id != nullptr) *id = stored.id;
    return made.text;
  }

  static Caller basic(const std::string& user, const std::string& password) {
    return {.authorization = {"Basic " + encode_base64(as_bytes(user + ':' + password))}, .peer = "10.0.0.1",
            .host = "registry.example", .secure = true};
  }
  static Caller bearer(const std::string& token) {
    return {.authorization = {"Bearer " + token}, .peer = "10.0.0.1", .host = "registry.example", .secure = true};
  }
  static AccessControl::Glance glance(const Caller& caller) {
    const bool one = caller.authorization.size() == 1;
    return {.authorization = one ? std::string_view(caller.authorization[0]) : std::string_view{},
            .one_authorization = one,
            .nothing = caller.authorization.empty() && !caller.certificate,
            .host = caller.host,
            .secure = caller.secure,
            .local = caller.local};
  }
  /// Is the caller known from a moment ago?
  bool recalls(const Caller& caller) { return access->recall(glance(caller)).has_value(); }
  /// As a request asks it.
  Result<Principal> who(const Caller& caller) {
    if (const auto recalled = access->recall(glance(caller))) {
      ++recalled_;
      return *recalled->principal;
    }
    const auto looked_at = run_task(access->identify(caller));
    if (!looked_at) return looked_at.error();
    return **looked_at;
  }
  /// May the caller pull this now? Empty: yes.
  std::string pulls(const Caller& caller, const std::string& repository) {
    const auto principal = who(caller);
    if (!principal) return std::string(to_string(principal.error().code));
    const auto policy = must(access->policy());
    const auto name = oci::RepositoryName::parse(repository).value();
    return policy->decide(*principal, Action::pull, &name).allowed ? "" : "denied";
  }
  TokenAnswer ask(const Caller& caller, const std::string& scope, bool refresh = false) {
    auto principal = who(caller);
    REQUIRE(principal.has_value());
    TokenQuestion question{.parameters = {{"scope", scope}}, .caller = *principal, .in_header = true,
                           .peer = caller.peer, .origin = {caller.host, true}};
    if (refresh) question.parameters.emplace_back("offline_token", "true");
    const auto answer = run_task(answer_token_question(*tokens, *access, question));
    REQUIRE(answer.has_value());
    return *answer;
  }
  /// By a refresh token.
  Result<TokenAnswer> renew(const std::string& refresh) {
    return run_task(answer_token_question(
        *tokens, *access,
        {.post = true,
         .parameters = {{"grant_type", "refresh_token"}, {"refresh_token", refresh}, {"scope", "repository:team/app:pull"}},
         .peer = "10.0.0.1",
         .origin = {"registry.example", true}}));
  }

  std::atomic<int> recalled_{0};  ///< answers of who() that were known
  const Argon2Cost cost;
  HttpClient http;
  std::unique_ptr<TokenService> tokens;
  std::unique_ptr<AccessControl> access;
};

}  // namespace berth::auth::testing
