// The whole api over a registry and identities in memory, with accounts switched on, and requests as somebody.
#pragma once

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/account_tools.h"
#include "api/service.h"
#include "api/switches.h"
#include "auth/access_control.h"
#include "auth/options.h"
#include "auth/secrets.h"
#include "auth/token_service.h"
#include "base/base64.h"
#include "base/bytes.h"
#include "registry/identities/identities.h"
#include "tests/support/test_registry.h"
#include "tests/unit/api/exchange.h"

namespace berth::api::test {

/// What a request shows.
struct Shown {
  std::string authorization = {};
  bool local = false;
  std::shared_ptr<const ClientCertificate> certificate = nullptr;
};

inline Shown basic(const std::string& user, const std::string& password) {
  return {.authorization = "Basic " + encode_base64(as_bytes(user + ':' + password))};
}
inline Shown bearer(const std::string& token) { return {.authorization = "Bearer " + token}; }

/// What else it says.
struct Said {
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

class AccessWorld {
 public:
  static inline const registry::Actor kRoot{.id = registry::kSystemActor, .request_id = "test", .name = {}};

  static auth::AuthOptions quick(auth::AuthOptions options = {}) {
    options.enabled = true;
    options.passwords.cost = {.iterations = 1, .memory_kib = 64, .lanes = 1};
    return options;
  }

  explicit AccessWorld(auth::AuthOptions options = quick(), ServiceOptions service_options = {})
      : cost_(options.passwords.cost) {
    registry::IdentitiesOptions quiet;
    quiet.fold_interval = quiet.sweep_interval = std::chrono::hours(1);
    auto opened = registry::open_identities({registry.committer(), registry.disk_pool(), registry.clock()},
                                            registry.identity_signal(), quiet);
    REQUIRE(opened.has_value());
    identities_ = *std::move(opened);
    auto tokens = auth::TokenService::create(options.token, "https://registry.example",
                                             {*identities_, registry.disk_pool(), registry.clock(), registry.entropy()});
    if (!tokens) FAIL(tokens.error().message);
    tokens_ = *std::move(tokens);
    auto access = auth::AccessControl::create(
        std::move(options), {*identities_, *tokens_, http_, registry.disk_pool(), passwords_, registry.clock(), registry.entropy()});
    if (!access) FAIL(access.error().message);
    access_ = *std::move(access);
    tools_ = make_account_tools(*access_);
    if (service_options.switches == nullptr) service_options.switches = &switches_;
    service_ = make_service(std::move(service_options), lifecycle_, registry.clock(), registry.entropy());
    service_->attach({.registry = *registry,
                      .identities = identities_.get(),
                      .access = access_.get(),
                      .tokens = tokens_.get(),
                      .accounts = tools_.get()});
    lifecycle_.started = true;
    lifecycle_.loop_heartbeat_ms =
        std::chrono::floor<std::chrono::milliseconds>(registry.clock().steady().time_since_epoch()).count();
  }
  ~AccessWorld() {
    service_.reset();
    tools_.reset();
    access_.reset();
    tokens_.reset();
    identities_.reset();
    kv::ViewSource::release_thread_cache();
  }

  registry::Identities& identities() { return *identities_; }
  auth::AccessControl& access() { return *access_; }
  auth::TokenService& tokens() { return *tokens_; }

  template <class T>
  T must(Task<T> task) {
    Result<T> result = registry.run(std::move(task));
    if (!result) FAIL(result.error().message + " " + result.error().log_detail);
    return *std::move(result);
  }
  void must_do(Task<void> task) {
    const Result<void> result = registry.run(std::move(task));
    if (!result) FAIL(result.error().message);
  }

  // ---- people ----
  void add_user(const std::string& name, const std::string& password, std::vector<std::string> groups = {}) {
    registry::NewUser user{.name = name, .groups = std::move(groups)};
    user.password_hash = auth::hash_password(password, registry.entropy(), cost_).value();
    must(identities_->create_user(kRoot, std::move(user)));
  }
  void grant(const std::string& subject, const std::string& repositories, const std::string& role,
             std::vector<std::string> tags = {}) {
    registry::GrantContent content{.subjects = {subject}, .repositories = {repositories}, .role = role, .tags = std::move(tags)};
    must(identities_->create_grant(kRoot, std::move(content)));
  }
  /// A personal token.
  std::string add_token(const std::string& user, registry::Ceiling ceiling = {}) {
    auth::Secret secret = auth::make_secret(auth::SecretKind::personal, registry.entropy());
    registry::NewCredential token{.hash = hash_of(secret), .name = "test", .ceiling = std::move(ceiling)};
    must(identities_->create_token(kRoot, "user:" + user, registry::OwnerOrigin::local, std::move(token)));
    return secret.text;
  }
  std::string add_robot(const std::string& name, registry::Ceiling ceiling = {}) {
    auth::Secret secret = auth::make_secret(auth::SecretKind::robot, registry.entropy());
    registry::NewRobot robot{.name = name, .ceiling = std::move(ceiling)};
    robot.secret = registry::NewCredential{.hash = hash_of(secret), .name = "test"};
    must(identities_->create_robot(kRoot, std::move(robot)));
    return secret.text;
  }
  static registry::SecretHash hash_of(const auth::Secret& secret) {
    registry::SecretHash hash{};
    std::ranges::transform(secret.hash, hash.begin(), [](char c) { return static_cast<std::byte>(c); });
    return hash;
  }
  /// An access token, as the token endpoint gives it to whoever shows that.
  std::string access_token(const Shown& shown, const std::string& scope) {
    auth::Principal asking = *must(access_->identify(caller(shown)));
    std::vector<auth::Scope> scopes;
    REQUIRE(auth::parse_scopes(scope, scopes).has_value());
    auth::TokenWish wish{.service = tokens_->service({kHost, true}), .scopes = std::move(scopes)};
    return must(tokens_->issue(std::move(asking), must(access_->policy()), std::move(wish))).access.token;
  }

  // ---- requests ----
  Response send(const Shown& shown, Method method, const std::string& target, Said said = {}) {
    Request request;
    request.method = method;
    request.method_text = std::string(to_string(method));
    request.target = target;
    request.headers.add("Host", kHost);
    for (const auto& [name, value] : said.headers) request.headers.add(name, value);
    if (!shown.authorization.empty()) request.headers.add("Authorization", shown.authorization);
    request.peer_address = "192.0.2.1";
    request.secure = true;
    if (shown.local) request.local_uid = 0;
    request.client_certificate = shown.certificate;
    request.has_body = !said.body.empty();
    request.content_length = said.body.size();
    std::deque<FakeBody::Piece> pieces;
    if (request.has_body) pieces.emplace_back(said.body);
    FakeBody body(registry.buffers(), std::move(pieces));
    request.body = &body;
    auto run = [](Service& service, Request& asked) -> Task<Response> { co_return co_await service.handle(asked); };
    Response response = registry.run(run(*service_, request)).value();
    principal = request.principal;
    service_->finished(request, response, {.complete = true});  // as the server does: the access log
    return response;
  }
  static std::string text(const Response& response) {
    std::string out;
    for (const BodyPart& part : response.body) {
      if (const auto* piece = std::get_if<std::string>(&part)) out += *piece;
      if (const auto* slice = std::get_if<MemorySlice>(&part)) {
        if (slice->bytes) out += slice->bytes->substr(slice->range.begin, slice->range.size());
      }
    }
    return out;
  }

  static constexpr const char* kHost = "registry.example";
  berth::test::TestRegistry registry;
  std::string principal;  ///< of the last request, as the access log has it

 private:
  static auth::Caller caller(const Shown& shown) {
    auth::Caller caller{.peer = "192.0.2.1", .host = kHost, .secure = true, .certificate = shown.certificate, .local = shown.local};
    if (!shown.authorization.empty()) caller.authorization.push_back(shown.authorization);
    return caller;
  }

  const auth::Argon2Cost cost_;
  HttpClient http_;
  Pool passwords_{"password", 2};
  Lifecycle lifecycle_;
  std::unique_ptr<registry::Identities> identities_;
  std::unique_ptr<auth::TokenService> tokens_;
  std::unique_ptr<auth::AccessControl> access_;
  std::unique_ptr<AccountTools> tools_;
  Switches switches_{false, true, std::chrono::seconds(5)};
  std::unique_ptr<Service> service_;
};

}  // namespace berth::api::test
