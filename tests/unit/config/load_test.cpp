// Good and bad settings, with the exact words an operator gets.
#include <algorithm>
#include <catch2/catch.hpp>

#include "config/keys.h"
#include "config/settings.h"
#include "config_file.h"

using namespace berth;
using namespace berth::config;
using namespace std::chrono_literals;

namespace {

Result<Settings> load_text(const std::string& text) {
  ConfigFile file(text);
  return load({file.path(), {}, {}});
}

/// The problems of a file, or "" when it is good.
std::string problems(const std::string& text) {
  ConfigFile file(text);
  auto loaded = load({file.path(), {}, {}});
  return loaded ? "" : file.plain(loaded.error().message);
}

std::string problems(const Sources& sources) {
  auto loaded = load(sources);
  return loaded ? "" : loaded.error().message;
}

}  // namespace

TEST_CASE("without any source the defaults hold") {
  auto settings = load({});
  REQUIRE(settings);
  CHECK(changes(*settings, Settings{}).empty());
  CHECK(settings->listeners.at(0).address == "127.0.0.1:5000");
  CHECK(settings->data.directory == "./berth-data");
}

TEST_CASE("a file sets what it names and nothing else") {
  auto settings = load_text(R"(# a comment
public_url: https://registry.example.com:8443
listeners:
  - address: "[::1]:5001"
  - {address: 127.0.0.1:9090, serve: [health]}
data: {directory: /var/lib/berth, inline_limit: 64KiB}
collection:
  grace: 48h
undo:
  # all lines of this section are comments
registry:
  deletion: false
limits:
  manifest_size: 8MiB
  blob_size: 10GiB
  page_entries: 50
threads: {io: 2}
log: {level: warning, access: false}
)");
  REQUIRE(settings);
  CHECK(settings->public_url == "https://registry.example.com:8443");
  REQUIRE(settings->listeners.size() == 2);
  CHECK(settings->listeners[0].address == "[::1]:5001");
  CHECK(settings->listeners[0].serve == std::vector<std::string>{"registry", "health", "metrics"});
  CHECK(settings->listeners[1].serve == std::vector<std::string>{"health"});
  std::vector<std::string> changed;
  for (const auto& change : changes(Settings{}, *settings)) changed.push_back(change.key);
  CHECK(changed == std::vector<std::string>{"public_url", "data.directory", "data.inline_limit", "collection.grace",
                                            "registry.deletion", "limits.manifest_size", "limits.blob_size",
                                            "limits.page_entries", "threads.io", "log.level", "log.access",
                                            "listeners"});
  CHECK(settings->collection.grace == 48h);
  CHECK(settings->limits.manifest_bytes == 8 << 20);
  CHECK_FALSE(settings->registry.deletion);
}

TEST_CASE("files that say nothing") {
  auto text = GENERATE("", "\n", "# only a comment\n", "---\n", "{}", "null", "limits:\n", "limits: {}\n");
  CAPTURE(text);
  CHECK(problems(text).empty());
}

namespace {

std::string no_accounts(const std::string& place) {
  return "berth.yaml:" + place +
         ": listeners[0].address: 0.0.0.0:5000 can be reached by other machines and there are no accounts to tell them "
         "apart; expected the line `auth: {users: true}` (then `berth user add admin --role admin` makes the first "
         "administrator), or an address of this machine as 127.0.0.1:5000, or, if anyone who reaches it may read and write "
         "everything, the line `insecure: i-know-that-anyone-can-read-and-write-this`";
}

}  // namespace

TEST_CASE("each problem is told with its place and what was expected") {
  struct Row {
    const char* name;
    std::string text;
    std::string message;
  };
  const std::string size = ", as 4096, 64KiB, 8MiB or 2GiB";
  const std::string duration = ", as 250ms, 10s, 5m, 24h or 14d";
  auto row = GENERATE_COPY(values<Row>({
      {"misspelt key", "log:\n  levle: info\n",
       "berth.yaml:2:3: log.levle: unknown key; expected level, format, access, slow_request; did you mean level?"},
      {"misspelt section", "threads: {io: 1}\ncolection: {}\n",
       "berth.yaml:2:1: colection: unknown key; expected public_url, insecure, listeners, data, collection, undo, registry, "
       "limits, threads, cache, log, metrics, tracing, auth, roles, grants; did you mean collection?"},
      {"key in the wrong section", "data: {manifest_size: 8MiB}\n",
       "berth.yaml:1:8: data.manifest_size: unknown key; expected directory, inline_limit, block_cache, ballast_min, "
       "ballast_max; did you mean limits.manifest_size?"},
      {"nothing near", "log: {colour: red}\n",
       "berth.yaml:1:7: log.colour: unknown key; expected level, format, access, slow_request"},
      {"field of a listener", "listeners: [{adress: 127.0.0.1:5000}]\n",
       "berth.yaml:1:14: listeners[].adress: unknown key; expected address, serve, tls_elsewhere, "
       "trusted_proxies, hosts, tls; did you mean address?"},
      {"merge key", "log: {<<: {level: info}}\n",
       "berth.yaml:1:7: log.<<: unknown key; expected level, format, access, slow_request"},
      {"no size", "limits:\n  manifest_size: 8 megs\n",
       "berth.yaml:2:18: limits.manifest_size: \"8 megs\" is not a size; expected a size from 64KiB to 64MiB" + size},
      {"size too small", "limits: {manifest_size: 1KiB}\n",
       "berth.yaml:1:25: limits.manifest_size: \"1KiB\" is out of range; expected a size from 64KiB to 64MiB" + size},
      {"size too large", "limits: {manifest_size: 1GiB}\n",
       "berth.yaml:1:25: limits.manifest_size: \"1GiB\" is out of range; expected a size from 64KiB to 64MiB" + size},
      {"duration without unit", "undo: {window: 14}\n",
       "berth.yaml:1:16: undo.window: \"14\" is not a duration; expected a duration from 0s to 3650d" + duration},
      {"duration out of range", "limits: {header_timeout: 10m}\n",
       "berth.yaml:1:26: limits.header_timeout: \"10m\" is out of range; expected a duration from 1s to 5m" + duration},
      {"no number", "threads: {io: many}\n",
       "berth.yaml:1:15: threads.io: \"many\" is not a whole number; expected a whole number from 0 to 256"},
      {"number out of range", "threads: {io: 257}\n",
       "berth.yaml:1:15: threads.io: \"257\" is out of range; expected a whole number from 0 to 256"},
      {"number that overflows", "threads: {io: 99999999999999999999}\n",
       "berth.yaml:1:15: threads.io: \"99999999999999999999\" is not a whole number; expected a whole number from 0 to "
       "256"},
      {"no share", "tracing: {sample_ratio: 5%}\n",
       "berth.yaml:1:25: tracing.sample_ratio: \"5%\" is not a number; expected a number from 0 to 1, as 0.05"},
      {"share out of range", "tracing: {sample_ratio: 1.01}\n",
       "berth.yaml:1:25: tracing.sample_ratio: \"1.01\" is out of range; expected a number from 0 to 1, as 0.05"},
      {"a share that is none", "tracing: {sample_ratio: nan}\n",
       "berth.yaml:1:25: tracing.sample_ratio: \"nan\" is out of range; expected a number from 0 to 1, as 0.05"},
      {"yes is not true", "registry: {deletion: yes}\n",
       "berth.yaml:1:22: registry.deletion: \"yes\" is neither; expected true or false"},
      {"choice", "log: {level: warn}\n",
       "berth.yaml:1:14: log.level: \"warn\" is none of them; expected trace, debug, info, warning or error"},
      {"choice with a near one", "log: {level: warnin}\n",
       "berth.yaml:1:14: log.level: \"warnin\" is none of them; expected trace, debug, info, warning or error; did you "
       "mean warning?"},
      {"list where one is wanted", "threads: {io: [1, 2]}\n",
       "berth.yaml:1:15: threads.io: has no single value; expected a whole number from 0 to 256"},
      {"nothing where one is wanted", "data:\n  directory:\n",
       "berth.yaml:2:3: data.directory: has no single value; expected text"},
      {"empty directory", "data: {directory: ''}\n",
       "berth.yaml:1:8: data.directory: is empty; expected the path of a directory"},
      {"control character", "data: {directory: \"a\\nb\"}\n",
       "berth.yaml:1:19: data.directory: \"a\\nb\" holds a control character; expected text"},
      {"section that is none", "limits: 5\n",
       "berth.yaml:1:9: limits: is not a map; expected keys and values below it"},
      {"file that is a list", "- a\n", "berth.yaml:1:1: is not a map; expected keys and values"},
      {"file that is text", "hello\n", "berth.yaml:1:1: is not a map; expected keys and values"},
      {"key twice", "log: {level: info}\nundo: {}\nlog: {level: debug}\n",
       "berth.yaml:3:1: log: stands there twice; the first is on line 1"},
      {"leaf twice", "log:\n  level: info\n  level: debug\n",
       "berth.yaml:3:3: log.level: stands there twice; the first is on line 2"},
      {"key that is a list", "{[a]: 1}\n", "berth.yaml:1:2: a key that is not text; expected a name"},
      {"url with a path", "public_url: https://example.com/registry\n",
       "berth.yaml:1:13: public_url: \"https://example.com/registry\" is not such an address; expected http:// or https:// "
       "with a host and maybe a port, and nothing after it"},
      {"url without scheme", "public_url: example.com\n",
       "berth.yaml:1:13: public_url: \"example.com\" is not such an address; expected http:// or https:// with a host and "
       "maybe a port, and nothing after it"},
      {"insecure is no switch", "insecure: true\n",
       "berth.yaml:1:1: insecure: is not the sentence; expected i-know-that-anyone-can-read-and-write-this or nothing"},
      {"ballast", "data: {ballast_min: 2GiB, ballast_max: 1GiB}\n",
       "berth.yaml:1:8: data.ballast_min: 2GiB is more than data.ballast_max, which is 1GiB; expected at most that"},
      {"a proxy by name", "listeners: [{address: \"127.0.0.1:5000\", trusted_proxies: [10.0.0.0/8, proxy.example.com]}]\n",
       "berth.yaml:1:58: listeners[0].trusted_proxies: names proxy.example.com; expected addresses and networks, as "
       "192.0.2.7, 10.0.0.0/8 or fd00::/8, with no bits set behind the prefix"},
      {"a host with a port", "listeners: [{address: \"127.0.0.1:5000\", hosts: [\"berth:5000\"]}]\n",
       "berth.yaml:1:48: listeners[0].hosts: names berth:5000; expected names alone, as berth or registry.example.com, "
       "without a scheme or a port"},
      {"listeners that are no list", "listeners: 127.0.0.1:5000\n",
       "berth.yaml:1:12: listeners: is not a list of 1 to 16; expected as [{address: \"127.0.0.1:5000\", serve: "
       "[registry, health, metrics]}]"},
      {"no listeners", "listeners: []\n",
       "berth.yaml:1:12: listeners: is not a list of 1 to 16; expected as [{address: \"127.0.0.1:5000\", serve: "
       "[registry, health, metrics]}]"},
      {"listener that is text", "listeners: [127.0.0.1:5000]\n",
       "berth.yaml:1:13: listeners[0]: is not a map; expected as {address: \"127.0.0.1:5000\", serve: [registry, "
       "health, metrics]}"},
      {"listener by name", "listeners: [{address: example.com:5000}]\n",
       "berth.yaml:1:23: listeners[0].address: \"example.com:5000\" names a host, and a listener needs an address; expected "
       "an address and a port, as 127.0.0.1:5000, 0.0.0.0:5000 or [::1]:5000"},
      {"listener without port", "listeners: [{address: 127.0.0.1}]\n",
       "berth.yaml:1:23: listeners[0].address: \"127.0.0.1\" is not an address and a port; expected an address and a port, "
       "as 127.0.0.1:5000, 0.0.0.0:5000 or [::1]:5000"},
      {"serve of something else", "listeners: [{serve: [registry, helth]}]\n",
       "berth.yaml:1:32: listeners[0].serve: \"helth\" is none of them; expected a list of registry, health or metrics; did you mean "
       "health?"},
      {"serve twice", "listeners: [{serve: [registry, registry]}]\n",
       "berth.yaml:1:32: listeners[0].serve: \"registry\" stands there twice; expected a list of registry, health or metrics"},
      {"serve nothing", "listeners: [{serve: []}]\n",
       "berth.yaml:1:21: listeners[0].serve: is empty; expected a list of registry, health or metrics"},
      {"serve as text", "listeners: [{serve: registry}]\n",
       "berth.yaml:1:21: listeners[0].serve: is not what is wanted here; expected a list of registry, health or metrics"},
      {"nobody serves the registry", "listeners: [{serve: [health]}]\n",
       "berth.yaml:1:1: listeners: none serves the registry; expected `registry` in the serve of one"},
      {"the same address twice", "listeners: [{address: 127.0.0.1:1}, {address: 127.0.0.1:1}]\n",
       "berth.yaml:1:47: listeners[1].address: 127.0.0.1:1 stands there twice; expected each address once"},
      {"open to others", "listeners:\n  - address: 0.0.0.0:5000\n",
       "berth.yaml:2:14: listeners[0].address: 0.0.0.0:5000 can be reached by other machines and speaks no TLS; expected "
       "`tls: {certificate: tls.crt, key: tls.key}` beside it (`berth certs dev` makes such files), or, if a proxy that "
       "speaks TLS stands before it and nobody reaches it otherwise, `tls_elsewhere: true`, or, if anyone may listen in, "
       "the line `insecure: i-know-that-anyone-can-read-and-write-this`\n" +
           no_accounts("2:14")},
      {"open to others with TLS", "listeners:\n  - {address: 0.0.0.0:5000, tls: {certificate: a, key: b}}\n",
       no_accounts("2:15")},
      {"open to others behind a proxy", "listeners:\n  - {address: 0.0.0.0:5000, tls_elsewhere: true}\n",
       no_accounts("2:15")},
      {"accounts without TLS", "listeners: [{address: 0.0.0.0:5000}]\nauth: {users: true}\n",
       "berth.yaml:1:23: listeners[0].address: 0.0.0.0:5000 can be reached by other machines and speaks no TLS; expected "
       "`tls: {certificate: tls.crt, key: tls.key}` beside it (`berth certs dev` makes such files), or, if a proxy that "
       "speaks TLS stands before it and nobody reaches it otherwise, `tls_elsewhere: true`, or, if anyone may listen in, "
       "the line `insecure: i-know-that-anyone-can-read-and-write-this`"},
      {"a proxy, and clients that cannot be told where to log in",
       "listeners: [{address: 0.0.0.0:5000, tls_elsewhere: true}]\nauth: {users: true}\n",
       "default: public_url: is not set, and a listener has tls_elsewhere; expected the address that "
       "clients use, as https://registry.example.com, so that berth can tell them where to log in"},
      {"TLS, and passwords in clear",
       "listeners: [{address: 0.0.0.0:5000, tls: {certificate: a, key: b}}, {address: 0.0.0.0:5001, tls: {certificate: a, "
       "key: b}}]\nauth: {users: true}\npublic_url: http://registry.example.com\n",
       "berth.yaml:3:1: public_url: would have clients send passwords in clear; expected an https address, or, if anyone "
       "may listen in, the line `insecure: i-know-that-anyone-can-read-and-write-this`"},
      {"TLS elsewhere, and passwords in clear",
       "listeners: [{address: 0.0.0.0:5000, tls_elsewhere: true}]\nauth: {users: true, token: {realm: "
       "'http://auth.example.com/token'}}\npublic_url: https://registry.example.com\n",
       "berth.yaml:2:29: auth.token.realm: would have clients send passwords in clear; expected an https address, or, if "
       "anyone may listen in, the line `insecure: i-know-that-anyone-can-read-and-write-this`"},
      {"TLS here and elsewhere", "listeners: [{address: 127.0.0.1:1, tls_elsewhere: true, tls: {certificate: a, key: b}}]\n",
       "berth.yaml:1:51: listeners[0].tls_elsewhere: is true and the listener has tls itself; expected one of them"},
      {"TLS without its files", "listeners: [{address: 127.0.0.1:1, tls: {}}]\n",
       "berth.yaml:1:36: listeners[0].tls: lacks certificate; expected the path of a file, or a list of such paths there\n"
       "berth.yaml:1:36: listeners[0].tls: lacks key; expected the path of a file, or a list of such paths there"},
      {"TLS without a key", "listeners: [{address: 127.0.0.1:1, tls: {certificate: a}}]\n",
       "berth.yaml:1:36: listeners[0].tls: lacks key; expected the path of a file, or a list of such paths there"},
      {"TLS as text", "listeners: [{address: 127.0.0.1:1, tls: true}]\n",
       "berth.yaml:1:41: listeners[0].tls: is not a map; expected keys and values below it\n"
       "berth.yaml:1:36: listeners[0].tls: lacks certificate; expected the path of a file, or a list of such paths there\n"
       "berth.yaml:1:36: listeners[0].tls: lacks key; expected the path of a file, or a list of such paths there"},
      {"fewer keys than certificates", "listeners: [{address: 127.0.0.1:1, tls: {certificate: [a, b], key: c}}]\n",
       "berth.yaml:1:36: listeners[0].tls: has 2 certificates and 1 keys; expected a key for each, in the same order"},
      {"field of TLS", "listeners: [{address: 127.0.0.1:1, tls: {certificate: a, key: b, cert: c}}]\n",
       "berth.yaml:1:66: listeners[].tls.cert: unknown key; expected certificate, key, client_ca, client_certificates, "
       "min_version"},
      {"old TLS", "listeners: [{address: 127.0.0.1:1, tls: {certificate: a, key: b, min_version: 1.1}}]\n",
       "berth.yaml:1:79: listeners[0].tls.min_version: \"1.1\" is none of them; expected 1.2 or 1.3; did you mean 1.2?"},
      {"a certificate that is a map", "listeners: [{address: 127.0.0.1:1, tls: {certificate: {a: b}, key: b}}]\n",
       "berth.yaml:1:55: listeners[0].tls.certificate: is not what is wanted here; expected the path of a file, or a list of "
       "such paths"},
      {"clients asked and nobody to vouch",
       "listeners: [{address: 127.0.0.1:1, tls: {certificate: a, key: b, client_certificates: required}}]\n",
       "berth.yaml:1:87: listeners[0].tls.client_certificates: is required and nobody may vouch for clients; expected "
       "client_ca beside it"},
      {"clients vouched for and not asked",
       "listeners: [{address: 127.0.0.1:1, tls: {certificate: a, key: b, client_ca: c}}]\n",
       "berth.yaml:1:77: listeners[0].tls.client_ca: is there and clients are not asked; expected `client_certificates: "
       "optional` or `required` beside it"},
      {"alias", "log: &a {level: info}\nundo: *a\n", "berth.yaml:1:6: anchors are not supported"},
      {"tag", "log: {level: !!str info}\n", "berth.yaml:1:14: tags are not supported"},
      {"second document", "log: {}\n---\nundo: {}\n", "berth.yaml:3:1: a second document; a file holds one"},
      {"broken YAML", "log: {level: info\n", "berth.yaml:2:1: not YAML: end of map flow not found"},
      {"tab", "log:\n\tlevel: info\n", "berth.yaml:2:1: a tab; YAML is indented with spaces"},
      {"tab after spaces", "log:\n  level: info\n \taccess: true\n", "berth.yaml:3:2: a tab; YAML is indented with spaces"},
  }));
  CAPTURE(row.name);
  CHECK(problems(row.text) == row.message);
}

TEST_CASE("all problems of all sources are told at once") {
  ConfigFile file("log: {levle: info}\nthreads: {io: x}\n");
  auto loaded = load({file.path(), {{"BERTH__LOG__LEVEL", "loud"}, {"BERTH__NO__SUCH", "1"}}, {{"undo.window", "x"}}});
  REQUIRE_FALSE(loaded);
  CHECK(file.plain(loaded.error().message) ==
        "berth.yaml:1:7: log.levle: unknown key; expected level, format, access, slow_request; did you mean level?\n"
        "berth.yaml:2:15: threads.io: \"x\" is not a whole number; expected a whole number from 0 to 256\n"
        "environment BERTH__LOG__LEVEL: log.level: \"loud\" is none of them; expected trace, debug, info, warning or "
        "error\n"
        "environment BERTH__NO__SUCH: unknown name; expected BERTH__SECTION__KEY\n"
        "command line: undo.window: \"x\" is not a duration; expected a duration from 0s to 3650d, as 250ms, 10s, 5m, "
        "24h or 14d");
}

TEST_CASE("flag before environment before file before default") {
  ConfigFile file("limits: {page_entries: 10, ranges: 10, tags_per_push: 10}\n");
  std::map<std::string, std::string> environment{{"BERTH__LIMITS__PAGE_ENTRIES", "20"}, {"BERTH__LIMITS__RANGES", "20"}};
  auto settings = load({file.path(), environment, {{"limits.page_entries", "30"}}});
  REQUIRE(settings);
  CHECK(settings->limits.page_entries == 30);
  CHECK(settings->limits.ranges == 20);
  CHECK(settings->limits.tags_per_push == 10);
  CHECK(settings->limits.manifest_depth == 32);
}

TEST_CASE("every key has a name in the environment and on the command line") {
  for (const Key& key : keys()) {
    // What is not there by default cannot be set to its default, and half of it is refused.
    if (in_list(key.path) || key.path == "insecure" || key.path.starts_with("auth.ldap") ||
        key.path.starts_with("auth.outside"))
      continue;
    CAPTURE(key.path);
    Settings fallback;
    std::string value = format_value(key, key.slot(&fallback));
    if (key.kind == Kind::choices) value = "[" + value + "]";
    CHECK(problems(Sources{{}, {{environment_name(key.path), value}}, {}}).empty());
    CHECK(problems(Sources{{}, {}, {{std::string(key.path), value}}}).empty());
  }
  CHECK(environment_name("limits.manifest_size") == "BERTH__LIMITS__MANIFEST_SIZE");
  CHECK(environment_name("public_url") == "BERTH__PUBLIC_URL");
}

TEST_CASE("the environment") {
  SECTION("names with one underscore belong to others") {
    CHECK(problems(Sources{{}, {{"BERTH_PORT", "tcp://10.0.0.1:5000"}, {"BERTH_SERVICE_HOST", "10.0.0.1"}}, {}}).empty());
  }
  SECTION("a misspelt name") {
    CHECK(problems(Sources{{}, {{"BERTH__LIMITS__MANIFEST_SIZ", "8MiB"}}, {}}) ==
          "environment BERTH__LIMITS__MANIFEST_SIZ: unknown name; expected BERTH__SECTION__KEY; did you mean "
          "BERTH__LIMITS__MANIFEST_SIZE?");
  }
  SECTION("listeners are YAML") {
    auto settings = load({{}, {{"BERTH__LISTENERS", "[{address: \"127.0.0.1:1\"}, {address: '[::1]:2', serve: [health]}]"}}, {}});
    REQUIRE(settings);
    REQUIRE(settings->listeners.size() == 2);
    CHECK(settings->listeners[1].address == "[::1]:2");
    CHECK(problems(Sources{{}, {{"BERTH__LISTENERS", "[{address"}}, {}}) ==
          "environment BERTH__LISTENERS: listeners: 1:1: not YAML: end of map flow not found");
  }
  SECTION("text is taken as it is") {
    auto settings = load({{}, {{"BERTH__DATA__DIRECTORY", "/a: {b}"}}, {}});
    REQUIRE(settings);
    CHECK(settings->data.directory == "/a: {b}");
  }
  SECTION("what it says is shown without control characters") {
    CHECK(problems(Sources{{}, {{"BERTH__A\x1b[31m", "1"}}, {}}) ==
          "environment BERTH__A?[31m: unknown name; expected BERTH__SECTION__KEY");
  }
}

TEST_CASE("flags") {
  CHECK(problems(Sources{{}, {}, {{"limits.manifest_siz", "8MiB"}}}) ==
        "command line: limits.manifest_siz: unknown key; expected one of `berth config reference`; did you mean "
        "limits.manifest_size?");
  auto settings = load({{}, {}, {{"log.level", "debug"}, {"log.level", "error"}}});
  REQUIRE(settings);
  CHECK(settings->log.level == "error");
}

TEST_CASE("the sentence opens a listener, and health needs none") {
  CHECK(problems("insecure: i-know-that-anyone-can-read-and-write-this\nlisteners: [{address: 0.0.0.0:5000}]\n").empty());
  CHECK(problems("listeners: [{address: 127.0.0.1:5000}, {address: 0.0.0.0:9090, serve: [health]}]\n").empty());
  CHECK_FALSE(problems("insecure: i-know\nlisteners: [{address: 0.0.0.0:5000}]\n").empty());
  CHECK_FALSE(problems("listeners: [{address: '[::]:5000'}]\n").empty());
}

TEST_CASE("addresses clients use") {
  auto good = GENERATE("", "http://a", "https://registry.example.com", "https://a.b:8443", "http://[::1]", "https://[::1]:5");
  auto bad = GENERATE("ftp://a", "https://", "https://a/", "https://a?x", "https://a#x", "https://user@a", "https://a:b",
                      "https://a:70000", "https://[::1", "https://[x]", "https://-a", "https://a b", "HTTPS://a");
  CAPTURE(good, bad);
  CHECK(problems(Sources{{}, {}, {{"public_url", good}}}).empty());
  CHECK_FALSE(problems(Sources{{}, {}, {{"public_url", bad}}}).empty());
}

TEST_CASE("files that cannot be a configuration end in a sentence") {
  SECTION("missing") {
    CHECK(problems(Sources{"/nonexistent/berth.yaml", {}, {}}) ==
          "/nonexistent/berth.yaml: cannot be read: No such file or directory");
  }
  SECTION("a folder") { CHECK(problems(Sources{"/", {}, {}}) == "/: cannot be read: Is a directory"); }
  SECTION("too large") {
    CHECK(problems("# " + std::string(1 << 20, 'x')) == "berth.yaml:1:1: larger than 1048576 bytes");
  }
  SECTION("not UTF-8") {
    CHECK(problems("log: {level: info}\ndata: {directory: \"/var/lib/be\x92th\"}\n") ==
          "berth.yaml:2:31: a byte that is not UTF-8");
    CHECK_THAT(problems("\xff\xfel\0o\0g\0"), Catch::Contains("berth.yaml:1:1: a byte that is not UTF-8"));
    CHECK_THAT(problems(Sources{{}, {}, {{"data.directory", "be\x92th"}}}), Catch::Contains("is not UTF-8"));
    CHECK(problems("data: {directory: \"/var/lib/b\u00e9rth\"}\n").empty());
  }
  SECTION("too deep") {
    CHECK(problems("a: " + std::string(17, '[') + std::string(17, ']')) == "berth.yaml:1:19: nested more than 16 deep");
    CHECK_THAT(problems(std::string(100'000, '[')), Catch::Contains("berth.yaml:1:"));
  }
  SECTION("too many values") {
    std::string text = "a: [";
    for (int i = 0; i < 50'001; ++i) text += "1,";
    CHECK_THAT(problems(text + "]"), Catch::Contains("more than 50000 values"));
  }
  SECTION("more problems than anybody reads") {
    std::string text;
    for (int i = 0; i < 1'000; ++i) text += "key" + std::to_string(i) + ": 1\n";
    std::string said = problems(text);
    CHECK(std::count(said.begin(), said.end(), '\n') == 100);
    CHECK(said.ends_with("\nmore problems follow"));
  }
}

TEST_CASE("what differs is named, and whether it can change while running") {
  Settings before, after;
  after.log.level = "debug";
  after.limits.manifest_bytes = 8 << 20;
  auto found = changes(before, after);
  REQUIRE(found.size() == 2);
  CHECK(found[0].key == "limits.manifest_size");
  CHECK(found[0].before == "4MiB");
  CHECK(found[0].after == "8MiB");
  CHECK_FALSE(found[0].live);
  CHECK(found[1].key == "log.level");
  CHECK(found[1].live);
}
