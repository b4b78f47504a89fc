#include "server/auth_options.h"

#include <catch2/catch.hpp>

#include "tests/unit/config/config_file.h"

using namespace berth;
using namespace std::chrono_literals;

namespace {

/// A bcrypt hash of no password that anybody knows.
constexpr const char* kHash = "$2y$05$abcdefghijklmnopqrstuuqfIRpCKo1XdXaWDkzHcI5PYGCQdK6Oy";

/// `{folder}` in the text stands for where the file is.
std::string in_folder(std::string text, const std::string& folder) {
  for (std::size_t at; (at = text.find("{folder}")) != text.npos;) text.replace(at, 8, folder);
  return text;
}

struct Loaded {
  explicit Loaded(const std::string& text, std::map<std::string, std::string> environment = {}) : file("") {
    const std::string folder = file.path().substr(0, file.path().rfind('/'));
    std::ofstream(folder + "/secret") << "a secret of some length\n";
    std::ofstream(folder + "/short") << "short\n";
    std::ofstream(folder + "/users") << "alice:" << kHash << "\n";
    std::ofstream(folder + "/bad-users") << "# nobody\nalice:{SHA}x\n";
    std::ofstream(file.path()) << in_folder(text, folder);
    auto loaded = config::load({file.path(), std::move(environment), {}, server::check_settings});
    if (loaded)
      settings = *std::move(loaded);
    else
      problems = file.plain(loaded.error().message);
  }
  auth::AuthOptions options() const {
    INFO(problems);
    REQUIRE(problems.empty());
    std::vector<config::Finding> findings;
    auto made = server::auth_options(settings, findings);
    CHECK(findings.empty());
    return made;
  }
  ConfigFile file;
  config::Settings settings;
  std::string problems;
};

const std::string kUsers = "auth: {users: true}\n";

}  // namespace

TEST_CASE("accounts are off until something switches them on") {
  struct Row {
    const char* name;
    std::string text;
    std::vector<auth::PasswordMethod> methods;
  };
  using Method = auth::PasswordMethod;
  const std::vector<Method> own{Method::users, Method::robots, Method::tokens};
  const Row rows[] = {
      {"users", kUsers, own},
      {"htpasswd", "auth: {htpasswd: \"{folder}/users\"}", {Method::users, Method::htpasswd, Method::robots, Method::tokens}},
      {"ldap", "auth: {ldap: {url: \"ldap://a\", user_base: \"dc=a\"}}",
       {Method::users, Method::robots, Method::tokens, Method::ldap}},
      {"oidc", "auth: {oidc: [{name: a, issuer: \"https://a\", audience: b, rules: [{claims: {sub: c}}]}]}",
       {Method::users, Method::robots, Method::tokens, Method::oidc}},
      {"certificates",
       "listeners: [{tls: {certificate: a, key: b, client_ca: c, client_certificates: optional}}]\n"
       "auth: {certificates: [{san: \"dns:*\", identity: \"certificate:{cn}\"}]}", own},
      {"an outside token server",
       "auth: {outside_token_server: {realm: \"https://a/token\", service: b, issuer: c, jwks: \"{folder}/users\"}}", own},
      {"in an order of one's own", "auth: {users: true, methods: [tokens, users]}", {Method::tokens, Method::users}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto options = Loaded(row.text).options();
    CHECK(options.enabled);
    CHECK(options.methods == row.methods);
  }
  CHECK_FALSE(Loaded("").options().enabled);
  CHECK_FALSE(Loaded("auth: {users: false}").options().enabled);
  CHECK_FALSE(Loaded("auth:\n").options().enabled);
}

TEST_CASE("every setting arrives") {
  const auto options = Loaded(R"YAML(
public_url: https://registry.example.com
listeners: [{tls: {certificate: a, key: b, client_ca: c, client_certificates: required}}]
auth:
  htpasswd: "{folder}/users"
  anonymous: pull
  setup_secret_file: "{folder}/secret"
  credential_lifetime: 7d
  credential_lifetime_max: 30d
  token: {realm: "https://r/token", service: s, lifetime: 2m, algorithm: EdDSA, key_rotation: 2d, refresh_lifetime: 0s}
  outside_token_server: {realm: "https://o/token", service: so, issuer: io, root_certificates: "{folder}/users"}
  password: {memory: 64MiB, iterations: 3, lanes: 2, workers: 5, queue: 6, remember: 30s, remembered: 7}
  login: {failures: 3, failures_refill: 4s, account_failures: 5, account_failures_refill: 6s, address_failures: 7,
          address_failures_refill: 8s, first_wait: 2s, longest_wait: 9s}
  ldap: {url: ["ldap://a", "ldaps://b:1"], start_tls: false, ca: "{folder}/users", bind_dn: "cn=b", bind_password_file:
         "{folder}/secret", user_base: "dc=u", user_filter: "(mail={user})", user_attribute: n, group_base: "dc=g",
         group_filter: "(m={user})", group_attribute: g, timeout: 4s, connect_timeout: 2s, workers: 3, queue: 8,
         remember: 5m}
  oidc:
    - {name: k, issuer: "http://k", audience: [x, y], jwks_url: "http://k/keys", ca: "{folder}/users", token_file:
       "{folder}/secret", reach: private, allow_http: true, timeout: 3s, leeway: 10s, rules: [{claims: {sub: "a:*", "/b/c":
       [d, e]}, subject: "federated:k:{sub}", groups: [ci], roles: [{role: own, repositories: "team/**"}]}]}
  certificates: [{subject: "CN=*", san: "uri:*", identity: "robot:{cn}", groups: builders}]
roles: [{name: own, actions: [pull, delete]}]
grants:
  - {subjects: ["group:Dev", authenticated], repositories: [team/**, lib/*], role: own}
  - {subjects: "robot:ci", repositories: app, actions: [push, overwrite], tags: ["v*", latest]}
)YAML").options();
  CHECK(options.public_url == "https://registry.example.com");
  CHECK(options.htpasswd_file.ends_with("/users"));
  CHECK(options.setup_secret == "a secret of some length");
  CHECK(options.credential_lifetime == 24h * 7);
  CHECK(options.credential_lifetime_max == 24h * 30);
  CHECK(options.token.realm == "https://r/token");
  CHECK(options.token.service == "s");
  CHECK(options.token.lifetime == 2min);
  CHECK(options.token.algorithm == "EdDSA");
  CHECK(options.token.key_rotation == 48h);
  CHECK(options.token.refresh_lifetime == 0h);
  REQUIRE(options.token.outside);
  CHECK(options.token.outside->realm == "https://o/token");
  CHECK(options.token.outside->service == "so");
  CHECK(options.token.outside->issuer == "io");
  CHECK(options.token.outside->root_certificates_file.ends_with("/users"));
  CHECK(options.passwords.workers == 5);
  CHECK(options.passwords.queue_max == 6);
  CHECK(options.passwords.cost == auth::Argon2Cost{.iterations = 3, .memory_kib = 64 << 10, .lanes = 2});
  CHECK(options.verified.lifetime == 30s);
  CHECK(options.verified.entries_max == 7);
  CHECK(options.throttle.pair.free_failures == 3);
  CHECK(options.throttle.pair.refill == 4s);
  CHECK(options.throttle.account.free_failures == 5);
  CHECK(options.throttle.account.refill == 6s);
  CHECK(options.throttle.address.free_failures == 7);
  CHECK(options.throttle.address.refill == 8s);
  CHECK(options.throttle.first_wait == 2s);
  CHECK(options.throttle.longest_wait == 9s);
  REQUIRE(options.ldap);
  CHECK(options.ldap->endpoint.urls == std::vector<std::string>{"ldap://a", "ldaps://b:1"});
  CHECK_FALSE(options.ldap->endpoint.start_tls);
  CHECK(options.ldap->endpoint.ca_file.ends_with("/users"));
  CHECK(options.ldap->endpoint.connect_timeout == 2s);
  CHECK(options.ldap->bind_dn == "cn=b");
  CHECK(options.ldap->bind_password_file.ends_with("/secret"));
  CHECK(options.ldap->user_base == "dc=u");
  CHECK(options.ldap->user_filter == "(mail={user})");
  CHECK(options.ldap->name_attribute == "n");
  CHECK(options.ldap->group_base == "dc=g");
  CHECK(options.ldap->group_filter == "(m={user})");
  CHECK(options.ldap->group_attribute == "g");
  CHECK(options.ldap->timeout == 4s);
  CHECK(options.ldap->workers == 3);
  CHECK(options.ldap->waiting_max == 8);
  CHECK(options.outside_identity_lifetime == 5min);
  REQUIRE(options.oidc.size() == 1);
  const auto& issuer = options.oidc[0];
  CHECK(issuer.name == "k");
  CHECK(issuer.issuer == "http://k");
  CHECK(issuer.audiences == std::vector<std::string>{"x", "y"});
  CHECK(issuer.jwks_url == "http://k/keys");
  CHECK(issuer.ca_file.ends_with("/users"));
  CHECK(issuer.token_file.ends_with("/secret"));
  CHECK(issuer.reach == Reach::private_network);
  CHECK(issuer.allow_http);
  CHECK(issuer.timeout == 3s);
  CHECK(issuer.leeway == 10s);
  REQUIRE(issuer.rules.size() == 1);
  CHECK(issuer.rules[0].claims == std::map<std::string, std::vector<std::string>>{{"sub", {"a:*"}}, {"/b/c", {"d", "e"}}});
  CHECK(issuer.rules[0].subject == "federated:k:{sub}");
  CHECK(issuer.rules[0].groups == std::vector<std::string>{"ci"});
  REQUIRE(issuer.rules[0].roles.size() == 1);
  CHECK(issuer.rules[0].roles[0].role == "own");
  CHECK(issuer.rules[0].roles[0].repositories.at(0).text() == "team/**");
  REQUIRE(options.certificates.size() == 1);
  CHECK(options.certificates[0].subject == "CN=*");
  CHECK(options.certificates[0].san == "uri:*");
  CHECK(options.certificates[0].identity == "robot:{cn}");
  CHECK(options.certificates[0].groups == std::vector<std::string>{"builders"});
  REQUIRE(options.roles.size() == 1);
  CHECK(options.roles[0].name == "own");
  CHECK(options.roles[0].actions == auth::Actions{auth::Action::pull, auth::Action::delete_});
  REQUIRE(options.grants.size() == 3);
  CHECK(options.grants[0].subjects == std::vector<std::string>{"group:dev", "authenticated"});
  CHECK(options.grants[0].repositories.at(1).text() == "lib/*");
  CHECK(options.grants[0].role == "own");
  CHECK(options.grants[0].actions.empty());
  CHECK(options.grants[1].actions == auth::Actions{auth::Action::push, auth::Action::overwrite});
  CHECK(options.grants[1].tags.at(1).text() == "latest");
  CHECK(options.grants[2].subjects == std::vector<std::string>{"anonymous"});
  CHECK(options.grants[2].repositories.at(0).is_everything());
  CHECK(options.grants[2].actions == auth::Actions{auth::Action::pull});
  for (const auto& grant : options.grants) CHECK(grant.origin == "config");
}

TEST_CASE("the set-up secret may come by the environment") {
  const Loaded loaded(kUsers, {{"BERTH_SETUP_SECRET", "another secret of some length"}});
  CHECK(loaded.options().setup_secret == "another secret of some length");
}

TEST_CASE("what is wrong with accounts, roles and grants is told with its place") {
  struct Row {
    const char* name;
    std::string text;
    std::string message;
  };
  const std::string ldap = "auth: {ldap: {url: \"ldap://a\", user_base: \"dc=a\", ";
  const std::string oidc = "auth:\n  oidc:\n    - name: a\n      issuer: https://a\n      audience: b\n      rules:\n";
  const Row rows[] = {
      {"an unknown role", kUsers + "grants:\n  - subjects: user:a\n    repositories: b\n    role: writter\n",
       "berth.yaml:5:11: grants[0].role: writter is no role here; expected one of admin, maintainer, reader, writer, or a "
       "role of that name under `roles`"},
      {"role and actions", kUsers + "grants: [{subjects: \"user:a\", repositories: b, role: writer, actions: [pull]}]\n",
       "berth.yaml:2:10: grants[0]: has both role and actions; expected one of them"},
      {"neither", kUsers + "grants: [{subjects: \"user:a\", repositories: b}]\n",
       "berth.yaml:2:10: grants[0]: says nothing that may be done; expected role or actions"},
      {"no subjects", kUsers + "grants: [{repositories: b, role: writer}]\n",
       "berth.yaml:2:10: grants[0]: lacks subjects; expected text, or a list of texts there"},
      {"an empty list of subjects", kUsers + "grants: [{subjects: [], repositories: b, role: writer}]\n",
       "berth.yaml:2:21: grants[0].subjects: is empty; expected text, or a list of texts"},
      {"a subject that is nobody", kUsers + "grants: [{subjects: [\"user:a\", alice], repositories: b, role: writer}]\n",
       "berth.yaml:2:32: grants[0].subjects[1]: alice is nobody; expected user:NAME, robot:NAME, group:NAME, "
       "federated:ISSUER:SUB, certificate:NAME, authenticated or anonymous"},
      {"the local socket is nobody's to grant", kUsers + "grants: [{subjects: \"local:root\", repositories: b, role: writer}]\n",
       "berth.yaml:2:21: grants[0].subjects[0]: local:root is nobody; expected user:NAME, robot:NAME, group:NAME, "
       "federated:ISSUER:SUB, certificate:NAME, authenticated or anonymous"},
      {"an action that is none", kUsers + "grants: [{subjects: \"user:a\", repositories: b, actions: [pul]}]\n",
       "berth.yaml:2:58: grants[0].actions: \"pul\" is none of them; expected a list of pull, push, overwrite, delete, "
       "admin or metrics; did you mean pull?"},
      {"a misspelt key", kUsers + "grants: [{subject: \"user:a\", repositories: b, role: writer}]\n",
       "berth.yaml:2:11: grants[].subject: unknown key; expected subjects, repositories, role, actions, tags; did you mean "
       "subjects?\n"
       "berth.yaml:2:10: grants[0]: lacks subjects; expected text, or a list of texts there"},
      {"a built-in role", kUsers + "roles: [{name: writer, actions: [pull]}]\n",
       "berth.yaml:2:16: roles[0].name: writer is a built-in role and cannot be changed; expected another name"},
      {"a role twice", kUsers + "roles: [{name: a, actions: [pull]}, {name: a, actions: [push]}]\n",
       "berth.yaml:2:44: roles[1].name: a stands there twice; expected each role once"},
      {"a name that is none", kUsers + "roles: [{name: A b, actions: [pull]}]\n",
       "berth.yaml:2:16: roles[0].name: \"A b\" is no name; expected lower-case letters and digits, with . _ @ - between "
       "them"},
      {"a role without actions", kUsers + "roles: [{name: a}]\n",
       "berth.yaml:2:9: roles[0]: lacks actions; expected a list of pull, push, overwrite, delete, admin or metrics there"},
      {"grants without accounts", "grants: [{subjects: \"user:a\", repositories: b, role: writer}]\n",
       "berth.yaml:1:1: grants: has no effect: accounts are off; expected `users: true`, or another source of users, under "
       "`auth`"},
      {"anonymous without accounts", "auth: {anonymous: pull}\n",
       "berth.yaml:1:8: auth.anonymous: has no effect: accounts are off; expected `users: true`, or another source of "
       "users, under `auth`"},
      {"a method that is not set up", "auth: {users: true, methods: [users, ldap]}\n",
       "berth.yaml:1:38: auth.methods[1]: ldap is not set up; expected auth.ldap as well, or this one left out"},
      {"a file that no method reads", "auth: {htpasswd: \"{folder}/users\", methods: [users]}\n",
       "berth.yaml:1:8: auth.htpasswd: has no effect: auth.methods leaves it out; expected htpasswd among them"},
      {"no file of users", "auth: {htpasswd: /nonexistent}\n",
       "berth.yaml:1:8: auth.htpasswd: /nonexistent cannot be read: No such file or directory"},
      {"a bad file of users", "auth: {htpasswd: \"{folder}/bad-users\"}\n", "bad-users:2"},
      {"no file with the secret", "auth: {users: true, setup_secret_file: /nonexistent}\n", "/nonexistent"},
      {"a secret to guess", "auth: {users: true, setup_secret_file: \"{folder}/short\"}\n",
       "berth.yaml:1:21: auth.setup_secret_file: the set-up secret is short enough to be guessed; expected at least 16 "
       "characters"},
      {"a directory without address", "auth: {ldap: {user_base: \"dc=a\"}}\n",
       "berth.yaml:1:8: auth.ldap: lacks url; expected text, or a list of texts there"},
      {"a directory that is none", "auth: {ldap: {url: \"http://a\", user_base: \"dc=a\"}}\n",
       "berth.yaml:1:8: auth.ldap: http://a is neither ldap://HOST[:PORT] nor ldaps://HOST[:PORT]"},
      {"a password in the address", "auth: {ldap: {url: \"ldap://a:b@c\", user_base: \"dc=a\"}}\n",
       "berth.yaml:1:8: auth.ldap: ldap://a:b@c is neither ldap://HOST[:PORT] nor ldaps://HOST[:PORT]"},
      {"a filter for everybody", ldap + "user_filter: \"(uid=*)\"}}\n",
       "berth.yaml:1:8: auth.ldap: the filter of users is not in parentheses, or has no {user}"},
      {"an account without password", ldap + "bind_dn: \"cn=b\"}}\n",
       "berth.yaml:1:8: auth.ldap: the account that berth searches with needs both its DN and a file with its password"},
      {"no such authority", ldap + "ca: /nonexistent}}\n",
       "berth.yaml:1:51: auth.ldap.ca: /nonexistent cannot be read: No such file or directory"},
      {"an issuer without rules", "auth: {oidc: [{name: a, issuer: \"https://a\", audience: b}]}\n",
       "berth.yaml:1:15: auth.oidc[0]: lacks rules; expected a list there"},
      {"a rule without claims", oidc + "        - {groups: [c]}\n",
       "berth.yaml:7:11: auth.oidc[0].rules[0]: lacks claims; expected a map of names, each with a text or a list of texts "
       "there"},
      {"claims that are a list", oidc + "        - {claims: [a]}\n",
       "berth.yaml:7:20: auth.oidc[0].rules[0].claims: is not what is wanted here; expected a map of names, each with a "
       "text or a list of texts"},
      {"an issuer by http", "auth: {oidc: [{name: a, issuer: \"http://a\", audience: b, rules: [{claims: {c: d}}]}]}\n",
       "berth.yaml:1:15: auth.oidc[0]: the issuer a: its address http://a is not an https:// URL"},
      {"an issuer twice",
       "auth: {oidc: [{name: a, issuer: \"https://a\", audience: b, rules: [{claims: {c: d}}]}, {name: a, issuer: "
       "\"https://b\", audience: b, rules: [{claims: {c: d}}]}]}\n",
       "berth.yaml:1:94: auth.oidc[1].name: a stands there twice; expected each name once"},
      {"a role of nowhere", oidc + "        - {claims: {c: d}, roles: [{role: writer}]}\n",
       "berth.yaml:7:36: auth.oidc[0].rules[0].roles[0]: lacks repositories; expected text, or a list of texts there"},
      {"an unknown role of a rule", oidc + "        - {claims: {c: d}, roles: [{role: x, repositories: y}]}\n",
       "berth.yaml:7:43: auth.oidc[0].rules[0].roles[0].role: x is no role here; expected one of admin, maintainer, reader, "
       "writer, or a role of that name under `roles`"},
      {"a certificate's holder that is nobody",
       "listeners: [{tls: {certificate: a, key: b, client_ca: c, client_certificates: optional}}]\n"
       "auth: {certificates: [{subject: \"CN=a\", identity: \"group:a\"}]}\n",
       "berth.yaml:2:51: auth.certificates[0].identity: group:a is nobody; expected user:NAME, robot:NAME or "
       "certificate:NAME, in which {cn} stands for the common name"},
      {"certificates that nobody asks for", "auth: {certificates: [{subject: \"CN=a\", identity: \"user:a\"}]}\n",
       "berth.yaml:1:8: auth.certificates: no listener asks for a client certificate; expected `client_ca: ca.pem, "
       "client_certificates: optional` in the tls of one"},
      {"any certificate",
       "listeners: [{tls: {certificate: a, key: b, client_ca: c, client_certificates: optional}}]\n"
       "auth: {certificates: [{identity: \"user:a\"}]}\n",
       "berth.yaml:2:23: auth.certificates[0]: would let in everybody with a certificate; expected subject or san (`*` is "
       "any)"},
      {"an outside server without keys",
       "auth: {outside_token_server: {realm: \"https://a/token\", service: b, issuer: c}}\n",
       "berth.yaml:1:8: auth.outside_token_server: names no keys; expected root_certificates or jwks"},
      {"a realm that is no URL", "auth: {users: true, token: {realm: a}}\n",
       "berth.yaml:1:29: auth.token.realm: is no URL; expected as https://auth.example.com/token"},
      {"a lifetime above the longest", "auth: {users: true, credential_lifetime_max: 1d}\n",
       "default: auth.credential_lifetime: is longer than auth.credential_lifetime_max; expected at most that"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const std::string problems = Loaded(row.text).problems;
    if (row.message.starts_with("berth.yaml") || row.message.starts_with("default"))
      CHECK(problems == row.message);
    else
      CHECK_THAT(problems, Catch::Contains(row.message));
  }
  // Patterns say for themselves what is wrong with them.
  CHECK_THAT(Loaded(kUsers + "grants: [{subjects: \"user:a\", repositories: [b, \"C//d\"], role: writer}]\n").problems,
             Catch::StartsWith("berth.yaml:2:49: grants[0].repositories[1]: "));
  CHECK_THAT(Loaded(kUsers + "grants: [{subjects: \"user:a\", repositories: b, role: writer, tags: \"-\"}]\n").problems,
             Catch::StartsWith("berth.yaml:2:68: grants[0].tags"));
}
