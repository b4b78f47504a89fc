#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "config/keys.h"
#include "config/settings.h"
#include "config_file.h"

using namespace berth;
using namespace berth::config;

TEST_CASE("what is printed loads to the same settings") {
  ConfigFile file(R"YAML(public_url: "https://a:1"
listeners: [{address: "[::1]:5000"}, {address: 127.0.0.1:1, serve: [health]}, {address: 127.0.0.1:2, tls: {certificate: [a,
  "b \"c\", d"], key: [e, f], client_ca: g, client_certificates: optional, min_version: 1.3}}]
auth:
  users: true
  methods: [ldap, users]
  ldap: {url: [ldap://a, ldaps://b], user_base: "dc=a", user_filter: '(&(uid={user})(!(x="y")))', start_tls: false}
  oidc:
    - {name: a, issuer: "https://a", audience: [b, c], rules: [{claims: {sub: "x: *", "/a.b/c": [d, e]}, groups: f}, {claims:
       {g: h}, roles: [{role: writer, repositories: [i/**, j]}]}]}
    - {name: k, issuer: "https://k", audience: l, reach: anywhere, leeway: 0s, rules: [{claims: {m: n}}]}
  certificates: [{subject: "CN=o", identity: "user:p", groups: [q]}]
roles: [{name: r, actions: [push, pull]}]
grants: [{subjects: s, repositories: t, role: r}, {subjects: [u, v], repositories: [w], actions: [delete], tags: "x*"}]
data: {directory: "/with \"quotes\" # and: ümlaut", inline_limit: 1001}
collection: {grace: 1500ms}
tracing: {endpoint: "http://a:4318/b", sample_ratio: 0.05}
log: {level: debug, access: false}
)YAML");
  Sources sources{file.path(), {{"BERTH__LIMITS__RANGES", "7"}}, {{"limits.blob_size", "3GiB"}}};
  auto printed = print(sources);
  REQUIRE(printed);
  ConfigFile again(*printed);
  auto first = load(sources), second = load({again.path(), {}, {}});
  REQUIRE(first);
  REQUIRE(second);
  CHECK(changes(*first, *second).empty());
  CHECK_FALSE(changes(*first, Settings{}).empty());
}

TEST_CASE("the origin of each value is printed") {
  ConfigFile file("log:\n  level: debug\n");
  auto printed = print({file.path(), {{"BERTH__LIMITS__RANGES", "7"}}, {{"limits.blob_size", "3GiB"}}});
  REQUIRE(printed);
  std::string text = file.plain(*printed);
  CHECK_THAT(text, Catch::Contains("  level: debug  # berth.yaml:2\n"));
  CHECK_THAT(text, Catch::Contains("  ranges: 7  # environment BERTH__LIMITS__RANGES\n"));
  CHECK_THAT(text, Catch::Contains("  blob_size: 3GiB  # command line\n"));
  CHECK_THAT(text, Catch::Contains("  directory: \"./berth-data\"  # default\n"));
  CHECK_THAT(text, Catch::Contains("listeners: [{address: \"127.0.0.1:5000\", serve: [registry, health, metrics]}]  # default\n"));
}

TEST_CASE("the set-up secret is printed by nobody") {
  Sources sources{{}, {{"BERTH_SETUP_SECRET", "correct-horse-battery"}}, {{"auth.users", "true"}}};
  auto settings = load(sources);
  REQUIRE(settings);
  CHECK(settings->auth.setup_secret == "correct-horse-battery");
  auto printed = print(sources);
  REQUIRE(printed);
  CHECK_THAT(*printed, !Catch::Contains("correct-horse"));
  for (const auto& change : changes(*settings, Settings{})) CHECK_THAT(change.before, !Catch::Contains("correct-horse"));
  auto refused = load({{}, {{"BERTH_SETUP_SECRET", "correct-horse-battery"}}, {}});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message ==
        "environment BERTH_SETUP_SECRET: BERTH_SETUP_SECRET: has no effect: accounts are off; expected `users: true`, or "
        "another source of users, under `auth`");
}

TEST_CASE("bad settings are not printed") {
  auto printed = print({{}, {}, {{"log.level", "loud"}}});
  REQUIRE_FALSE(printed);
  CHECK_THAT(printed.error().message, Catch::Contains("log.level"));
}

TEST_CASE("the schema knows every key and allows no other") {
  auto schema = nlohmann::json::parse(json_schema());
  CHECK(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema");
  for (const Key& key : keys()) {
    CAPTURE(key.path);
    const nlohmann::json* parent = &schema;
    std::string_view rest = key.path;
    for (std::size_t dot; (dot = rest.find('.')) != rest.npos; rest.remove_prefix(dot + 1)) {
      std::string step(rest.substr(0, dot));
      const bool list = step.ends_with("[]");
      if (list) step.resize(step.size() - 2);
      parent = &parent->at("properties").at(step);
      if (list) parent = &parent->at("items");
    }
    CHECK(parent->at("additionalProperties") == false);
    const auto& property = parent->at("properties").at(std::string(rest));
    const bool any = key.kind == Kind::files || key.kind == Kind::texts || key.kind == Kind::claims;
    CHECK(property.contains("default") == !any);
    CHECK(property["description"] == key.help);
  }
  CHECK(schema["properties"]["listeners"]["items"]["properties"]["tls"]["required"] ==
        nlohmann::json({"certificate", "key"}));
  CHECK(schema["properties"]["grants"]["items"]["required"] == nlohmann::json({"subjects", "repositories"}));
}

TEST_CASE("the table of keys is sound") {
  Settings settings;
  std::set<std::string_view> paths;
  // The defaults of elements are those of fresh ones.
  std::map<std::string_view, void*> owners;
  for (const List& list : lists()) {
    CAPTURE(list.path);
    CHECK(list.help.ends_with('.'));
    void* owner = &settings;
    for (const auto& [path, element] : owners)
      if (list.path.starts_with(std::string(path) + ".")) owner = element;
    list.clear(owner);
    owners[list.path] = list.add(owner);
    CHECK(list.size(owner) == 1);
  }
  for (const Key& key : keys()) {
    CAPTURE(key.path);
    CHECK(paths.insert(key.path).second);
    CHECK(key.help.ends_with('.'));
    void* owner = &settings;
    for (const auto& [path, element] : owners)
      if (key.path.starts_with(std::string(path) + ".")) owner = element;
    Slot slot = key.slot(owner);
    std::string value = format_value(key, slot);
    // So that what `print` leaves out of elements is what they have anyway.
    if (in_list(key.path) && (key.kind == Kind::flag || key.kind == Kind::text))
      CHECK((value.empty() || value == "false"));
    if (std::get_if<std::vector<std::string>*>(&slot) || key.kind == Kind::claims) continue;
    CHECK(assign(key, slot, value).has_value());  // a default must be a value that may be set
    CHECK(format_value(key, slot) == value);
  }
}

TEST_CASE("docs/configuration.md is what `berth config reference` prints") {
  std::ifstream file(BERTH_SOURCE_DIR "/docs/configuration.md");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  INFO("write it anew: berth config reference > docs/configuration.md");
  CHECK(text == markdown_reference());
}
