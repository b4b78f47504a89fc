// A token service over identities of its own, and a stand-in for who answers for logins.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "auth/logins.h"
#include "auth/passwords.h"
#include "auth/token_access.h"
#include "auth/token_endpoint.h"
#include "auth/token_service.h"
#include "registry/identities/identities.h"
#include "registry/keys.h"
#include "storage/kv/memory_kv.h"
#include "tests/support/manual_clock.h"
#include "tests/support/run_task.h"
#include "tests/support/seeded_entropy.h"

namespace berth::auth::testing {

/// Identities in memory.
class IdentityWorld {
 public:
  IdentityWorld() {
    auto on_commit = [signal = signal_](std::span<const std::string> touched, std::uint64_t version) {
      registry::invalidate(*signal, touched, version);
    };
    committer_ = std::make_unique<kv::Committer>(*store_, pool, kv::CommitterOptions{}, std::move(on_commit),
                                                 [](const Error&) {});
    REQUIRE(committer_->start().has_value());
    registry::IdentitiesOptions options;
    options.fold_interval = options.sweep_interval = std::chrono::hours(1);
    auto opened = registry::open_identities({*committer_, pool, clock}, signal_, options);
    REQUIRE(opened.has_value());
    identities_ = *std::move(opened);
  }
  ~IdentityWorld() {
    identities_.reset();
    stop_writing();
    pool.stop();
    committer_.reset();
    kv::ViewSource::release_thread_cache();
  }
  /// From then on every change fails.
  void stop_writing() {
    if (std::exchange(writing_, false)) committer_->stop();
  }
  registry::Identities& identities() { return *identities_; }

  template <class T>
  T must(Task<T> task) {
    Result<T> result = run_task(std::move(task));
    if (!result) FAIL(result.error().message + " " + result.error().log_detail);
    return *std::move(result);
  }
  void must_do(Task<void> task) {
    const Result<void> result = run_task(std::move(task));
    if (!result) FAIL(result.error().message);
  }

  test::ManualClock clock;
  test::SeededEntropy entropy{1};
  Pool pool{"disk", 2};

 private:
  std::unique_ptr<kv::Store> store_ = kv::make_memory_store(registry::schema());
  std::shared_ptr<registry::IdentitySignal> signal_ = registry::make_identity_signal();
  std::unique_ptr<kv::Committer> committer_;
  std::unique_ptr<registry::Identities> identities_;
  bool writing_ = true;
};

inline const registry::Actor kRoot{.id = 7, .request_id = "r", .name = "user:root"};

/// Knows passwords by heart; users come and go in the identities.
class FakeLogins final : public Logins {
 public:
  explicit FakeLogins(registry::Identities& identities) : identities_(identities) {
    const auto grant = [](const char* subject, const char* repositories, Actions actions) {
      return Grant{.subjects = {subject},
                   .repositories = {registry::RepositoryPattern::parse(repositories).value()},
                   .actions = actions};
    };
    std::vector<Grant> grants;
    grants.push_back(grant("user:alice", "team/**", {Action::pull, Action::push, Action::overwrite}));
    grants.push_back(grant("anonymous", "public/**", {Action::pull}));
    grants.push_back(grant("federated:ci:job", "ci/**", {Action::pull, Action::push}));
    policy_ = std::make_shared<const Policy>(Policy(std::move(grants)));
  }

  Task<Principal> identify_password(std::string user, std::string password, std::string peer,
                                    trace::Parent) override {
    ++password_checks;
    last_peer = std::move(peer);
    const auto known = passwords.find(user);
    if (known == passwords.end() || known->second != password) {
      co_return make_error(ErrorCode::unauthorized, "the name or the password is wrong", "password_wrong");
    }
    Principal principal = Principal::authenticated("user:" + user, {}, 9, "password");
    principal.may_refresh = true;
    co_return principal;
  }
  Task<Principal> identify_jwt(std::string jwt, std::string, trace::Parent) override {
    ++jwt_checks;
    if (jwt != "a.good.jwt") co_return make_error(ErrorCode::unauthorized, "the token is not accepted", "jwt");
    Principal principal = Principal::authenticated("federated:ci:job", {"group:ci"}, 10, "oidc");
    principal.testimony = {.groups = {"group:ci"}, .roles = {{.role = "reader", .repositories = {}}}};
    principal.vouched_until = jwt_until;
    principal.may_refresh = true;  // the endpoint knows better
    co_return principal;
  }
  Task<Principal> principal_of(std::shared_ptr<const VerifiedToken> token) override {
    if (token->subject == kAnonymous) co_return Principal{};
    if (token->subject.starts_with("user:")) {
      BERTH_CO_TRY(const auto user, co_await identities_.find_user(token->subject.substr(5)));
      if (!user || !user->enabled) co_return make_error(ErrorCode::unauthorized, "no", "subject_gone");
    }
    Principal principal = Principal::authenticated(token->subject, token->testimony.groups, 9, token->method);
    principal.testimony = token->testimony;
    principal.ceiling = ceiling_of(token->access, token->source);
    principal.may_refresh = true;  // the endpoint knows better
    co_return principal;
  }
  Task<std::shared_ptr<const Policy>> policy() override { co_return policy_; }

  std::map<std::string, std::string> passwords = {{"alice", "right"}};
  WallTime jwt_until = WallTime::max();
  int password_checks = 0;
  int jwt_checks = 0;
  std::string last_peer;

 private:
  registry::Identities& identities_;
  std::shared_ptr<const Policy> policy_;
};

using Form = std::vector<std::pair<std::string, std::string>>;

struct TokenWorld : IdentityWorld {
  explicit TokenWorld(TokenServiceOptions options = {}, std::string public_url = "https://registry.example")
      : logins(identities()) {
    auto made = TokenService::create(options, public_url, {identities(), pool, clock, entropy});
    if (!made) FAIL(made.error().message);
    service = *std::move(made);
    must(identities().create_user(kRoot, {.name = "alice", .password_hash = decoy_hash()}));
  }

  Result<TokenAnswer> ask(TokenQuestion question) {
    return run_task(answer_token_question(*service, logins, std::move(question)));
  }
  Result<TokenAnswer> get(Form query, Principal caller = {}) {
    return ask({.parameters = std::move(query), .caller = std::move(caller), .peer = "10.0.0.1", .origin = origin});
  }
  Result<TokenAnswer> post(Form form) {
    return ask({.post = true, .parameters = std::move(form), .peer = "10.0.0.1", .origin = origin});
  }
  Result<std::shared_ptr<const VerifiedToken>> verify(const std::string& token) {
    return run_task(service->verify(token, origin));
  }
  static Principal alice() {
    Principal principal = Principal::authenticated("user:alice", {}, 9, "password");
    principal.may_refresh = true;
    return principal;
  }
  std::string refresh_token() {
    const auto answer = get({{"offline_token", "true"}, {"client_id", "docker"}}, alice());
    REQUIRE(answer);
    REQUIRE(answer->refresh_token.starts_with("berth_f_"));
    return answer->refresh_token;
  }

  FakeLogins logins;
  RequestOrigin origin{.host = "registry.example", .secure = true};
  std::unique_ptr<TokenService> service;
};

/// "" or the reason.
template <class T>
std::string reason(const Result<T>& result) {
  return result ? "" : result.error().log_detail;
}

}  // namespace berth::auth::testing
