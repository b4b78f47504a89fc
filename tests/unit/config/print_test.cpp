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
  ConfigFile file(R"(public_url: "https://a:1"
listeners: [{address: "[::1]:5000"}, {address: 127.0.0.1:1, serve: [health]}, {address: 127.0.0.1:2, tls: {certificate: [a,
  "b \"c\", d"], key: [e, f], client_ca: g, client_certificates: optional, min_version: 1.3}}]
data: {directory: "/with \"quotes\" # and: ümlaut", inline_limit: 1001}
collection: {grace: 1500ms}
log: {level: debug, access: false}
)");
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
  CHECK_THAT(text, Catch::Contains("listeners: [{address: \"127.0.0.1:5000\", serve: [registry, health]}]  # default\n"));
}

TEST_CASE("bad settings are not printed") {
  auto printed = print({{}, {}, {{"log.level", "loud"}}});
  REQUIRE_FALSE(printed);
  CHECK_THAT(printed.error().message, Catch::Contains("log.level"));
}

TEST_CASE("the schema knows every key and allows no other") {
  auto schema = nlohmann::json::parse(json_schema());
  CHECK(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema");
  std::size_t found = 0;
  for (const Key& key : keys()) {
    CAPTURE(key.path);
    const nlohmann::json* parent = &schema;
    std::string_view leaf = leaf_of(key.path);
    if (key.listener_slot) {
      parent = &schema["properties"]["listeners"]["items"];
      leaf = key.path.substr(kListenerPrefix.size());
      if (key.path.starts_with(kListenerTlsPrefix)) {
        parent = &parent->at("properties").at("tls");
        leaf = key.path.substr(kListenerTlsPrefix.size());
      }
    } else if (!section_of(key.path).empty()) {
      parent = &schema["properties"][std::string(section_of(key.path))];
    }
    CHECK(parent->at("additionalProperties") == false);
    const auto& property = parent->at("properties").at(std::string(leaf));
    CHECK(property.contains("default") == (key.kind != Kind::files));
    CHECK(property["description"] == key.help);
    ++found;
  }
  CHECK(found == keys().size());
}

TEST_CASE("the table of keys is sound") {
  Settings settings;
  ListenerSettings listener;
  std::set<std::string_view> paths;
  for (const Key& key : keys()) {
    CAPTURE(key.path);
    CHECK(paths.insert(key.path).second);
    CHECK((key.slot != nullptr) != (key.listener_slot != nullptr));
    CHECK(key.help.ends_with('.'));
    Slot slot = key.slot ? key.slot(settings) : key.listener_slot(listener);
    std::string value = format_value(key, slot);
    if (key.kind == Kind::choices || key.kind == Kind::files) continue;
    CHECK(assign(key, slot, value).has_value());  // a default must be a value that may be set
    CHECK(format_value(key, slot) == value);
  }
  CHECK(changes(settings, Settings{}).empty());
}

TEST_CASE("docs/configuration.md is what `berth config reference` prints") {
  std::ifstream file(BERTH_SOURCE_DIR "/docs/configuration.md");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  INFO("write it anew: berth config reference > docs/configuration.md");
  CHECK(text == markdown_reference());
}
