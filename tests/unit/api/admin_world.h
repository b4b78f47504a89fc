// The routes of management over identities in memory, asked as anybody, with the policy that is stored.
#pragma once

#include <catch2/catch.hpp>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "api/account_tools.h"
#include "api/errors.h"
#include "api/routes.h"
#include "auth/access_control.h"
#include "auth/stored_access.h"
#include "registry/identities/identities.h"
#include "registry/keys.h"
#include "storage/kv/memory_kv.h"
#include "tests/support/manual_clock.h"
#include "tests/support/run_task.h"
#include "tests/support/seeded_entropy.h"
#include "tests/unit/api/exchange.h"

namespace berth::api::test {

using Json = nlohmann::json;

/// Hashes nothing, and takes everybody for what they are called.
class FakeTools final : public AccountTools {
 public:
  explicit FakeTools(registry::Identities& identities) : identities_(identities) { given.enabled = true; }
  const auth::AuthOptions& options() const override { return given; }
  Task<std::string> hash_password(std::string password) override { co_return "$hashed$" + std::to_string(password.size()); }
  Task<auth::Principal> principal_of_subject(std::string subject) override {
    std::vector<std::string> groups;
    if (subject.starts_with("user:")) {
      BERTH_CO_TRY(const auto user, co_await identities_.find_user(subject.substr(5)));
      if (user) {
        for (const std::string& group : user->groups) groups.push_back("group:" + group);
      }
    }
    co_return auth::Principal::authenticated(std::move(subject), std::move(groups), 7, "password");
  }
  auth::AuthOptions given;

 private:
  registry::Identities& identities_;
};

class AdminWorld {
 public:
  AdminWorld() {
    auto on_commit = [signal = signal_](std::span<const std::string> touched, std::uint64_t version) {
      registry::invalidate(*signal, touched, version);
    };
    committer_ = std::make_unique<kv::Committer>(*store_, pool_, kv::CommitterOptions{}, std::move(on_commit),
                                                 [](const Error&) {});
    REQUIRE(committer_->start().has_value());
    registry::IdentitiesOptions quiet;
    quiet.fold_interval = quiet.sweep_interval = std::chrono::hours(1);
    auto opened = registry::open_identities({*committer_, pool_, clock}, signal_, quiet);
    REQUIRE(opened.has_value());
    identities_ = *std::move(opened);
    tools = std::make_unique<FakeTools>(*identities_);
  }
  ~AdminWorld() {
    identities_.reset();
    committer_->stop();
    pool_.stop();
    committer_.reset();
    kv::ViewSource::release_thread_cache();
  }
  registry::Identities& identities() { return *identities_; }

  // ---- asking ----

  auth::Principal as(const std::string& subject) {
    if (subject == auth::kAnonymous) return {};
    auto made = run_task(tools->principal_of_subject(subject));
    REQUIRE(made.has_value());
    return *std::move(made);
  }
  /// Who asks from now on.
  void be(auth::Principal principal) { me = std::move(principal); }

  unsigned send(Method method, const std::string& target, const std::string& body = {},
                std::vector<std::pair<std::string, std::string>> headers = {}) {
    Request request;
    request.id = "r";
    request.method = method;
    request.method_text = std::string(to_string(method));
    request.target = target;
    bool typed = body.empty();
    for (auto& [name, value] : headers) {
      typed = typed || name == "Content-Type";
      request.headers.add(name, value);
    }
    if (!typed) request.headers.add("Content-Type", "application/json");
    std::deque<FakeBody::Piece> pieces;
    if (!body.empty()) pieces.emplace_back(body);
    request.has_body = !body.empty();
    if (request.has_body) request.content_length = body.size();
    FakeBody source(buffers_, std::move(pieces));
    request.body = &source;
    auto answer = run_task(run(request));
    response = answer ? *std::move(answer) : error_response(answer.error(), request.id);
    text.clear();
    for (const BodyPart& part : response.body) text += std::get<std::string>(part);
    json = text.empty() ? Json() : Json::parse(text);
    return response.status;
  }
  unsigned get(const std::string& target) { return send(Method::get, target); }
  unsigned post(const std::string& target, const Json& body) { return send(Method::post, target, body.dump()); }
  unsigned patch(const std::string& target, const Json& body, const std::string& if_match = {}) {
    return send(Method::patch, target, body.dump(), matching(if_match));
  }
  unsigned put(const std::string& target, const Json& body, const std::string& if_match = {}) {
    return send(Method::put, target, body.dump(), matching(if_match));
  }
  unsigned del(const std::string& target, const std::string& if_match = {}) {
    return send(Method::delete_, target, {}, matching(if_match));
  }
  std::string header(std::string_view name) const { return std::string(response.headers.get(name)); }
  std::string message() const { return json.at("errors").at(0).at("message"); }
  std::string code() const { return json.at("errors").at(0).at("code"); }
  /// The names or ids of a page.
  std::string names(const char* member = "name") const {
    std::string all;
    for (const Json& item : json.at("items")) all += (all.empty() ? "" : " ") + item.at(member).get<std::string>();
    return all;
  }

  /// A user who may do everything, and who asks from now on.
  void root() {
    be(auth::Principal::authenticated(std::string(auth::kLocalRoot), {}, registry::kSystemActor, "local"));
    REQUIRE(post("/api/v1/users", {{"name", "root"}, {"password", "a good password"}}) == 201);
    REQUIRE(post("/api/v1/grants", {{"subjects", {"user:root"}}, {"repositories", {"**"}}, {"role", "admin"}}) == 201);
    be(as("user:root"));
  }

  berth::test::ManualClock clock;
  berth::test::SeededEntropy entropy{1};
  FakeRegistry registry;
  std::unique_ptr<FakeTools> tools;
  ServiceOptions options;
  std::vector<auth::Role> roles;    ///< of the configuration
  std::vector<auth::Grant> grants;  ///< likewise
  auth::Principal me;
  Response response;
  std::string text;
  Json json;

 private:
  static std::vector<std::pair<std::string, std::string>> matching(const std::string& version) {
    if (version.empty()) return {};
    return {{"If-Match", version}};
  }

  Task<auth::Policy> policy() {
    BERTH_CO_TRY(const auto stored, co_await identities_->snapshot());
    const auto everything = registry::RepositoryPattern::everything();
    std::vector<auth::Grant> all = {{.subjects = {std::string(auth::kLocalRoot)},
                                     .repositories = {everything},
                                     .role = "admin",
                                     .origin = "local socket"}};
    all.insert(all.end(), grants.begin(), grants.end());
    for (const registry::StoredGrant& grant : stored->grants) all.push_back(auth::grant_of(grant));
    std::vector<auth::Role> known = roles;
    for (const registry::Role& role : stored->roles) known.push_back(auth::role_of(role));
    co_return auth::Policy(std::move(all), known);
  }

  Task<Response> run(Request& request) {
    const std::string_view target = request.target;
    const std::size_t query_at = target.find('?');
    BERTH_CO_TRY(const Match match, match_path(request.method, target.substr(0, query_at)));
    if (match.path.empty()) co_return make_error(ErrorCode::route_unknown, "there is nothing at this path");
    if (match.route == nullptr) co_return make_error(ErrorCode::method_not_allowed, "not this method");
    BERTH_CO_TRY(auto repository, parse_repository(match));
    BERTH_CO_TRY(const auth::Policy now, co_await policy());
    const auto decision = now.decide(me, match.route->action, repository ? &*repository : nullptr);
    if (!decision.allowed) co_return make_error(ErrorCode::denied, "not allowed");
    BERTH_CO_TRY(Target parsed, parse_target(match, std::move(repository)));
    BERTH_CO_TRY(Query query, Query::parse(query_at == std::string_view::npos ? "" : target.substr(query_at + 1)));
    const Backends backends{.registry = registry, .identities = identities_.get(), .accounts = tools.get()};
    Context context{.request = request,
                    .options = options,
                    .lifecycle = lifecycle_,
                    .clock = clock,
                    .entropy = entropy,
                    .policy = now,
                    .manifest_memory = memory_,
                    .form_memory = memory_,
                    .metrics_page = metrics_page_,
                    .backends = &backends,
                    .actor = me.as_actor(request.id),
                    .principal = me,
                    .target = std::move(parsed),
                    .query = std::move(query)};
    co_return co_await match.route->handle(context);
  }

  Pool pool_{"disk", 2};
  std::unique_ptr<kv::Store> store_ = kv::make_memory_store(registry::schema());
  std::shared_ptr<registry::IdentitySignal> signal_ = registry::make_identity_signal();
  std::unique_ptr<kv::Committer> committer_;
  std::unique_ptr<registry::Identities> identities_;
  Lifecycle lifecycle_;
  MemoryBudget memory_{64 << 20};
  MetricsPage metrics_page_;
  registry::BufferPool buffers_{8 << 20};
};

}  // namespace berth::api::test
