// The examples that operators copy: each is loaded as it stands there, and what they say about tokens of clusters and
// pipelines is tried with claims as these have them.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "auth/keys.h"
#include "auth/oidc.h"
#include "server/auth_options.h"
#include "tests/support/http_peer.h"
#include "tests/support/manual_clock.h"
#include "tests/support/run_task.h"
#include "tests/unit/config/config_file.h"

using namespace berth;
using nlohmann::json;

namespace {

struct Example {
  std::string place;  ///< "access.md:21"
  std::string text;
};

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += by.size()) text.replace(at, what.size(), by);
  return text;
}

/// What stands between ```yaml and ```, without the indent of the first line.
std::vector<Example> examples(const std::string& name) {
  std::ifstream file(BERTH_SOURCE_DIR "/docs/" + name);
  std::vector<Example> found;
  std::size_t indent = 0;
  int number = 0;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const std::size_t begin = line.find("```");
    if (inside && begin != line.npos) {
      inside = false;
    } else if (inside) {
      found.back().text += (line.size() > indent ? line.substr(indent) : std::string()) + "\n";
    } else if (begin != line.npos && line.substr(begin) == "```yaml") {
      inside = true;
      indent = begin;
      found.push_back({name + ":" + std::to_string(number), ""});
    }
  }
  return found;
}

/// A folder that has all that the examples name.
class Machine {
 public:
  Machine() : file_("") {
    for (const char* name : {"tls.crt", "tls.key", "client-ca.pem", "ldap-ca.pem", "gitlab-ca.pem", "token-server.pem",
                             "ca.crt", "token"})
      std::ofstream(folder() + "/" + name) << "some text\n";
    std::ofstream(folder() + "/ldap-password") << "secret\n";
    std::ofstream(folder() + "/setup-secret") << "a secret of some length\n";
    std::ofstream(folder() + "/htpasswd") << "alice:$2y$05$abcdefghijklmnopqrstuuqfIRpCKo1XdXaWDkzHcI5PYGCQdK6Oy\n";
  }
  std::string folder() const { return file_.path().substr(0, file_.path().rfind('/')); }
  Result<config::Settings> load(std::string text) const {
    for (const char* at : {"/etc/berth/", "/var/run/secrets/kubernetes.io/serviceaccount/"})
      text = replaced(std::move(text), at, folder() + "/");
    std::ofstream(file_.path()) << text;
    return config::load({file_.path(), {}, {}, server::check_settings});
  }

 private:
  ConfigFile file_;
};

/// The issuers of all examples, by name.
std::map<std::string, auth::OidcIssuer> documented_issuers() {
  const Machine machine;
  std::map<std::string, auth::OidcIssuer> issuers;
  for (const Example& example : examples("access.md")) {
    const auto settings = machine.load(example.text);
    REQUIRE(settings);
    std::vector<config::Finding> findings;
    for (auto& issuer : server::auth_options(*settings, findings).oidc) issuers[issuer.name] = issuer;
  }
  return issuers;
}

json kubernetes_claims(const std::string& space, const std::string& account) {
  return {{"aud", {"https://registry.example.com"}},
          {"iss", "https://kubernetes.default.svc.cluster.local"},
          {"sub", "system:serviceaccount:" + space + ":" + account},
          {"jti", "7c9f4b54-9f0d-4c0d-a2c5-1f6b5a4f3c2e"},
          {"kubernetes.io",
           {{"namespace", space},
            {"node", {{"name", "node-1"}, {"uid", "b5a7c1e2"}}},
            {"pod", {{"name", account + "-0"}, {"uid", "0f0a3f9e"}}},
            {"serviceaccount", {{"name", account}, {"uid", "5d1f3a52"}}}}}};
}

/// "subject; groups; role on patterns, …", or "nobody".
std::string who(const auth::OidcIssuer& issuer, const json& claims) {
  const auto identity = auth::apply_rules(issuer.rules, issuer.name, claims);
  if (!identity) return "nobody";
  std::string text = identity->subject + ";";
  for (const auto& group : identity->groups) text += " " + group;
  text += ";";
  for (const auto& role : identity->roles) {
    text += " " + role.role + " on";
    for (const auto& pattern : role.repositories) text += " " + pattern.text();
  }
  return text;
}

}  // namespace

TEST_CASE("the examples of the documentation load") {
  const Machine machine;
  for (const std::string name : {"access.md", "operations.md", "configuration.md"}) {
    const auto found = examples(name);
    CHECK_FALSE(found.empty());
    for (const Example& example : found) {
      const auto settings = machine.load(example.text);
      INFO(example.place << (settings ? "" : ": " + settings.error().message));
      CHECK(settings);
      if (name == "access.md") CHECK((settings && config::accounts_on(settings->auth)));
    }
  }
  CHECK(examples("access.md").size() > 10);
}

TEST_CASE("the documented rules let in whom they mean") {
  const auto issuers = documented_issuers();
  const auto& cluster = issuers.at("prod");
  CHECK(who(cluster, kubernetes_claims("shop", "web")) ==
        "federated:prod:system:serviceaccount:shop:web;; reader on shop/**");
  CHECK(who(cluster, kubernetes_claims("ci", "builder")) ==
        "federated:prod:system:serviceaccount:ci:builder;; writer on shop/** base/**");
  CHECK(who(cluster, kubernetes_claims("ci", "web")) == "nobody");
  CHECK(who(cluster, kubernetes_claims("shopping", "web")) == "nobody");
  CHECK(who(cluster, kubernetes_claims("default", "shop")) == "nobody");

  const auto& github = issuers.at("github");
  json run = {{"sub", "repo:example/app:ref:refs/heads/main"},
              {"repository", "example/app"},
              {"repository_owner", "example"},
              {"repository_owner_id", "1234567"},
              {"event_name", "push"},
              {"ref", "refs/heads/main"},
              {"run_id", "42"}};
  CHECK(who(github, run) == "federated:github:repo:example/app:ref:refs/heads/main; builds release;");
  run["event_name"] = "pull_request_target";  // and anybody's
  CHECK(who(github, run) == "federated:github:repo:example/app:ref:refs/heads/main; builds;");
  run["event_name"] = "push";
  run["ref"] = "refs/heads/main-2";
  CHECK(who(github, run) == "federated:github:repo:example/app:ref:refs/heads/main; builds;");
  run["repository_owner_id"] = "12345678";
  CHECK(who(github, run) == "nobody");

  const auto& gitlab = issuers.at("gitlab");
  json job = {{"sub", "project_path:team/app:ref_type:branch:ref:main"},
              {"namespace_path", "team"},
              {"project_path", "team/app"},
              {"pipeline_source", "push"},
              {"ref_protected", "true"}};
  CHECK(who(gitlab, job) == "federated:gitlab:project_path:team/app:ref_type:branch:ref:main; gitlab.team; writer on team/**");
  job["ref_protected"] = "false";
  CHECK(who(gitlab, job) == "federated:gitlab:project_path:team/app:ref_type:branch:ref:main; gitlab.team;");
}

TEST_CASE("a token as a cluster gives them comes in by the documented settings") {
  // The same section, with an issuer that can be asked in a test.
  test::ManualClock clock;
  HttpClient http;
  Pool pool("test", 1);
  auto key = auth::SigningKey::generate(auth::Algorithm::rs256);
  REQUIRE(key);
  std::string url;
  const HttpPeer peer([&](const PeerRequest& request) {
    if (request.target == "/.well-known/openid-configuration")
      return PeerReply{.body = json{{"issuer", url}, {"jwks_uri", url + "/openid/v1/jwks"}}.dump()};
    if (request.target != "/openid/v1/jwks") return PeerReply{.status = 404};
    const std::vector<auth::VerificationKey> keys{key->public_key()};
    return PeerReply{.body = auth::jwks_text(keys)};
  });
  url = peer.url();
  const Machine machine;
  std::unique_ptr<auth::OidcFederation> federation;
  for (const Example& example : examples("access.md")) {
    if (example.text.find("name: prod") == example.text.npos) continue;
    std::string text = replaced(example.text, "https://kubernetes.default.svc.cluster.local", url);
    text = replaced(text, "reach: private", "reach: private\n      allow_http: true");
    const auto settings = machine.load(text);
    INFO(example.place << (settings ? "" : settings.error().message));
    REQUIRE(settings);
    std::vector<config::Finding> findings;
    auto options = server::auth_options(*settings, findings);
    REQUIRE(findings.empty());
    auto made = auth::OidcFederation::create(std::move(options.oidc), http, pool, clock);
    REQUIRE(made);
    federation = *std::move(made);
  }
  REQUIRE(federation);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock.wall().time_since_epoch()).count();
  const auto come = [&](const std::string& account, const json& changes) {
    json claims = kubernetes_claims("shop", account);
    claims.update({{"iss", url}, {"iat", now}, {"nbf", now}, {"exp", now + 3607}});
    claims.update(changes);
    return run_task(federation->authenticate(*key->sign_jwt(claims.dump())));
  };
  const auto web = come("web", json::object());
  REQUIRE(web);
  CHECK(web->subject == "federated:prod:system:serviceaccount:shop:web");
  REQUIRE(web->roles.size() == 1);
  CHECK(web->roles[0].role == "reader");
  CHECK(web->roles[0].repositories.at(0).text() == "shop/**");
  CHECK(come("web", {{"aud", {"https://kubernetes.default.svc.cluster.local"}}}).failed_with(ErrorCode::unauthorized));
  CHECK(come("web", {{"exp", now - 3600}}).failed_with(ErrorCode::unauthorized));
  CHECK(come("web", {{"sub", "system:serviceaccount:other:web"}}).failed_with(ErrorCode::unauthorized));
  CHECK(come("web", {{"iss", "https://kubernetes.default.svc.cluster.local"}}).failed_with(ErrorCode::unauthorized));
}
