#include "auth/ldap.h"

#include <catch2/catch.hpp>
#include <thread>

#include "auth/ldap_filter.h"
#include "tests/support/http_peer.h"
#include "tests/support/run_task.h"
#include "tests/support/test_directory.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;
using Strings = std::vector<std::string>;

std::string person(const std::string& dn, const std::string& uid, const std::string& mail,
                   const std::string& password) {
  std::string out = "dn: " + dn + ",ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nsn: x\ncn: x\n";
  out += "uid: " + uid + "\nmail: " + mail + "\n";
  if (!password.empty()) out += "userPassword: " + password + "\n";
  return out + "\n";
}

std::string group(const std::string& name, const Strings& members) {
  std::string out = "dn: cn=" + name + ",ou=groups,dc=example,dc=org\nobjectClass: groupOfNames\ncn: " + name + "\n";
  for (const auto& member : members) out += "member: " + member + ",ou=people,dc=example,dc=org\n";
  return out + "\n";
}

std::string content() {
  std::string out =
      "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n\n"
      "dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n"
      "dn: ou=groups,dc=example,dc=org\nobjectClass: organizationalUnit\nou: groups\n\n"
      "dn: cn=berth,dc=example,dc=org\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
      "cn: berth\nuserPassword: searching\n\n";
  out += person("uid=alice", "alice", "alice@example.org", "wonder land");
  out += person("uid=bob", "bob", "admin", "builder");  // who chose his mail address with care
  out += person("uid=carol", "carol", "twin@example.org", "c");
  out += person("uid=dan", "dan", "twin@example.org", "d");
  out += person("uid=nopassword", "nopassword", "nopassword@example.org", "");
  out += person("uid=many", "many", "many@example.org", "m");
  out += person("uid=two", "first\nuid: second", "two@example.org", "t");
  // A DN with all that a filter and a DN must escape.
  out += person("cn=Smith\\, Ann (ops) \\2A", "ann", "ann@example.org", "a*n(n)");
  out += group("Dev", {"uid=alice", "uid=bob"});
  out += group("ops", {"uid=alice", "cn=Smith\\, Ann (ops) \\2A"});
  out += group("not a name", {"uid=alice"});
  for (int i = 0; i < 201; ++i) out += group("g" + std::to_string(i), {"uid=many"});
  return out;
}

struct Bench {
  TestDirectory server{content()};
  TestFolder folder;

  LdapOptions options() const {
    LdapOptions options;
    options.endpoint.urls = {server.url()};
    options.endpoint.ca_file = server.root();
    options.bind_dn = "cn=berth,dc=example,dc=org";
    options.bind_password_file = folder.write("password", "searching\n");
    options.user_base = "ou=people,dc=example,dc=org";
    options.group_base = "ou=groups,dc=example,dc=org";
    return options;
  }
};

std::unique_ptr<LdapDirectory> make(LdapOptions options) {
  auto made = LdapDirectory::create(std::move(options));
  REQUIRE(made);
  return *std::move(made);
}

Result<LdapIdentity> log_in(LdapDirectory& directory, std::string user, std::string password) {
  return run_task(directory.authenticate(std::move(user), std::move(password)));
}

}  // namespace

TEST_CASE("values in LDAP filters are text") {
  struct Row {
    const char* name;
    std::string value;
    const char* escaped;
  };
  const Row rows[] = {
      {"plain", "alice.b_c@d-e", "alice.b_c@d-e"},
      {"RFC 4515 section 4: parentheses", "Parens R Us (for all your parenthetical needs)",
       "Parens R Us \\28for all your parenthetical needs\\29"},
      {"RFC 4515 section 4: star", "*", "\\2a"},
      {"RFC 4515 section 4: backslash", "C:\\MyFile", "C:\\5cMyFile"},
      {"RFC 4515 section 4: bytes", std::string("\0\0\0\4", 4), "\\00\\00\\00\\04"},
      {"UTF-8", "Lu\xc4\x8di\xc4\x87", "Lu\\c4\\8di\\c4\\87"},
      {"a whole attack", "x)(|(uid=*", "x\\29\\28|\\28uid=\\2a"},
      {"braces stay", "{dn}", "{dn}"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(escape_filter_value(row.value) == row.escaped);
  }
  CHECK(fill_filter("(&(uid={user})(o={user})(x={other})(y={))", {{"user", "a*{dn}"}, {"dn", "no"}}) ==
        "(&(uid=a\\2a{dn})(o=a\\2a{dn})(x={other})(y={))");
}

TEST_CASE("directories that are refused before they are asked") {
  LdapOptions good;
  good.endpoint.urls = {"ldap://127.0.0.1:1"};
  good.user_base = "dc=example";
  struct Row {
    const char* name;
    std::function<void(LdapOptions&)> change;
  };
  const Row rows[] = {
      {"no address", [](auto& o) { o.endpoint.urls.clear(); }},
      {"another scheme", [](auto& o) { o.endpoint.urls = {"http://a"}; }},
      {"no host", [](auto& o) { o.endpoint.urls = {"ldap://"}; }},
      {"two in one", [](auto& o) { o.endpoint.urls = {"ldap://a ldap://b"}; }},
      {"a path", [](auto& o) { o.endpoint.urls = {"ldap://a/dc=x"}; }},
      {"a DN without password", [](auto& o) { o.bind_dn = "cn=x"; }},
      {"a password without DN", [](auto& o) { o.bind_password_file = "/x"; }},
      {"no base", [](auto& o) { o.user_base.clear(); }},
      {"a filter without user", [](auto& o) { o.user_filter = "(uid=*)"; }},
      {"a filter without parentheses", [](auto& o) { o.user_filter = "uid={user}"; }},
      {"no attribute", [](auto& o) { o.name_attribute.clear(); }},
      {"a group filter for everybody", [](auto& o) { o.group_base = "dc=x", o.group_filter = "(member=*)"; }},
      {"no group attribute", [](auto& o) { o.group_base = "dc=x", o.group_attribute.clear(); }},
      {"no time", [](auto& o) { o.timeout = 0ms; }},
      {"no workers", [](auto& o) { o.workers = 0; }},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    LdapOptions options = good;
    row.change(options);
    CHECK(LdapDirectory::create(options).failed_with(ErrorCode::request_invalid));
  }
  CHECK(LdapDirectory::create(good));
}

TEST_CASE("logging in against slapd") {
  if (!TestDirectory::available("logging in against slapd")) return;
  Bench bench;
  auto directory = make(bench.options());
  const auto alice = log_in(*directory, "Alice", "wonder land");
  REQUIRE(alice);
  CHECK(alice->user == "alice");
  CHECK(alice->dn == "uid=alice,ou=people,dc=example,dc=org");
  CHECK(alice->groups == Strings{"dev", "ops"});
  const auto ann = log_in(*directory, "ann", "a*n(n)");
  REQUIRE(ann);
  CHECK(ann->groups == Strings{"ops"});

  struct Row {
    const char* name;
    std::string user;
    std::string password;
  };
  const Row rows[] = {
      {"a wrong password", "alice", "wonderland"},
      {"no password, which a bind would take", "alice", ""},
      {"a password of another", "alice", "builder"},
      {"a password with a zero byte behind it", "alice", std::string("wonder land\0", 12)},
      {"an unknown user", "eve", "wonder land"},
      {"an unknown user without password", "eve", ""},
      {"nobody", "", "wonder land"},
      {"everybody", "*", "wonder land"},
      {"a filter", "alice)(uid=*", "wonder land"},
      {"a DN", "uid=alice,ou=people,dc=example,dc=org", "wonder land"},
      {"a user without password", "nopassword", "x"},
      {"berth's own account", "berth", "searching"},
      {"a password too long", "alice", std::string(1025, 'a')},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto answer = log_in(*directory, row.user, row.password);
    REQUIRE(answer.failed_with(ErrorCode::unauthorized));
    CHECK(answer.error().message == "the user name or the password is wrong");
  }
  CHECK(log_in(*directory, "many", "m").failed_with(ErrorCode::unavailable));  // 201 groups
  CHECK(log_in(*directory, "alice", "wonder land"));                           // the connections are as good as before
}

TEST_CASE("what somebody typed is not who they are in the directory") {
  if (!TestDirectory::available("what somebody typed is not who they are in the directory")) return;
  Bench bench;
  auto options = bench.options();
  options.user_filter = "(|(uid={user})(mail={user}))";
  auto directory = make(options);
  CHECK(log_in(*directory, "alice@example.org", "wonder land")->user == "alice");
  CHECK(log_in(*directory, "admin", "builder")->user == "bob");  // whatever he calls his mailbox
  CHECK(log_in(*directory, "twin@example.org", "c").failed_with(ErrorCode::unauthorized));
  CHECK(log_in(*directory, "second", "t")->user == "second");
  CHECK(log_in(*directory, "two@example.org", "t").failed_with(ErrorCode::unauthorized));
  options.name_attribute = "telephoneNumber";
  CHECK(log_in(*make(options), "alice", "wonder land").failed_with(ErrorCode::unauthorized));
}

TEST_CASE("somebody is looked up in slapd without a password") {
  if (!TestDirectory::available("somebody is looked up in slapd without a password")) return;
  const Bench bench;
  LdapOptions options = bench.options();
  options.user_filter = "(|(uid={user})(mail={user}))";
  const auto directory = make(options);
  const auto find = [&](std::string user) { return run_task(directory->find(std::move(user))); };
  const auto alice = find("alice");
  REQUIRE(alice);
  CHECK(alice->user == "alice");
  CHECK(alice->groups == Strings{"dev", "ops"});
  CHECK(find("nopassword"));
  CHECK(find("nobody").failed_with(ErrorCode::unauthorized));
  CHECK(find("admin").failed_with(ErrorCode::unauthorized));  // bob, by a word that he chose
  CHECK(find("*").failed_with(ErrorCode::unauthorized));
}

TEST_CASE("the ways to reach slapd") {
  if (!TestDirectory::available("the ways to reach slapd")) return;
  Bench bench;
  const TestAuthority stranger;
  const auto gone = "ldap://127.0.0.1:" + std::to_string(closed_port());
  const HttpPeer no_directory([](const PeerRequest&) { return PeerReply{}; });
  struct Row {
    const char* name;
    std::function<void(LdapOptions&)> change;
    bool works;
  };
  const Row rows[] = {
      {"StartTLS", [](auto&) {}, true},
      {"TLS", [&](auto& o) { o.endpoint.urls = {bench.server.tls_url()}; }, true},
      {"in clear, when told so", [](auto& o) { o.endpoint.start_tls = false; }, true},
      {"the second address", [&](auto& o) { o.endpoint.urls.insert(o.endpoint.urls.begin(), gone); }, true},
      {"StartTLS by a stranger's authority", [&](auto& o) { o.endpoint.ca_file = stranger.root(); }, false},
      {"TLS by a stranger's authority",
       [&](auto& o) { o.endpoint.urls = {bench.server.tls_url()}, o.endpoint.ca_file = stranger.root(); }, false},
      {"the system's authorities", [](auto& o) { o.endpoint.ca_file.clear(); }, false},
      {"no such authority", [](auto& o) { o.endpoint.ca_file = "/nonexistent"; }, false},
      {"another host's name", [&](auto& o) { o.endpoint.urls[0].replace(7, 9, "127.0.0.2"); }, false},
      {"nobody there", [&](auto& o) { o.endpoint.urls = {gone}; }, false},
      {"no directory there",
       [&](auto& o) {
         o.endpoint.urls = {"ldap://127.0.0.1:" + std::to_string(no_directory.port())}, o.timeout = 300ms;
       },
       false},
      {"a wrong password of berth's own", [&](auto& o) { o.bind_password_file = bench.folder.write("wrong", "x"); },
       false},
      {"no file with the password", [&](auto& o) { o.bind_password_file = bench.folder.path("gone"); }, false},
      {"anonymous, which may see nothing", [](auto& o) { o.bind_dn.clear(), o.bind_password_file.clear(); }, false},
      {"no such base", [](auto& o) { o.user_base = "ou=gone,dc=example,dc=org"; }, false},
      {"no such place of groups", [](auto& o) { o.group_base = "ou=gone,dc=example,dc=org"; }, false},
      {"a broken filter", [](auto& o) { o.user_filter = "(&(uid={user})"; }, false},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    auto options = bench.options();
    row.change(options);
    const auto answer = log_in(*make(options), "alice", "wonder land");
    if (!answer) INFO(answer.error().message << ": " << answer.error().log_detail);
    CHECK(answer.has_value() == row.works);
    if (!row.works) {
      // Never "wrong password": nobody has checked it.
      REQUIRE(answer.failed_with(ErrorCode::unavailable));
      CHECK_FALSE((answer.error().message + answer.error().log_detail).empty());
    }
  }
}

TEST_CASE("a slapd that goes, hangs and comes back") {
  if (!TestDirectory::available("a slapd that goes, hangs and comes back")) return;
  Bench bench;
  auto options = bench.options();
  options.timeout = options.endpoint.connect_timeout = 700ms;
  auto directory = make(options);
  REQUIRE(log_in(*directory, "alice", "wonder land"));
  bench.server.restart();  // the connections that were kept are gone
  CHECK(log_in(*directory, "alice", "wonder land"));
  bench.server.stop();
  CHECK(log_in(*directory, "alice", "wonder land").failed_with(ErrorCode::unavailable));
  CHECK(log_in(*directory, "alice", "wrong").failed_with(ErrorCode::unavailable));
  bench.server.restart();
  CHECK(log_in(*directory, "alice", "wonder land"));
  CHECK(log_in(*directory, "alice", "wrong").failed_with(ErrorCode::unauthorized));
  bench.server.freeze();
  const auto takes_its_time_at_most = [&](LdapDirectory& one) {
    const auto began = std::chrono::steady_clock::now();
    CHECK(log_in(one, "alice", "wonder land").failed_with(ErrorCode::unavailable));
    CHECK(std::chrono::steady_clock::now() - began < 3s);
  };
  takes_its_time_at_most(*directory);  // over a connection that was kept
  takes_its_time_at_most(*directory);  // StartTLS
  options.endpoint.urls = {bench.server.tls_url()};
  takes_its_time_at_most(*make(options));  // the handshake of TLS
  options.endpoint.urls = {bench.server.url()};
  options.endpoint.start_tls = false;
  takes_its_time_at_most(*make(options));  // a bind
  bench.server.thaw();
  CHECK(log_in(*directory, "alice", "wonder land"));
}

TEST_CASE("logins against slapd are bounded") {
  if (!TestDirectory::available("logins against slapd are bounded")) return;
  Bench bench;
  auto options = bench.options();
  options.workers = 2;
  options.waiting_max = 3;
  auto directory = make(options);
  SECTION("in number") {
    bench.server.freeze();
    asio::io_context context(1);
    int refused = 0;
    int good = 0;
    const auto count = [&](const std::exception_ptr&, const Result<LdapIdentity>& one) {
      if (one)
        ++good;
      else
        ++refused;
    };
    for (int i = 0; i < 8; ++i) asio::co_spawn(context, directory->authenticate("alice", "wonder land"), count);
    context.run_for(100ms);
    CHECK(refused == 3);
    bench.server.thaw();
    context.run();
    CHECK(good == 5);
    CHECK(refused == 3);
  }
  SECTION("and may come from many threads") {
    std::vector<std::thread> threads;
    std::atomic<int> right{0};
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 10; ++i) {
          const bool alice = (t + i) % 2 == 0;
          const auto answer = log_in(*directory, alice ? "alice" : "bob",
                                     i % 3 == 0 ? "no"
                                     : alice    ? "wonder land"
                                                : "builder");
          if (i % 3 == 0 ? answer.failed_with(ErrorCode::unauthorized)
                         : answer.has_value() && answer->user == (alice ? "alice" : "bob"))
            ++right;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(right == 40);
  }
}

}  // namespace berth::auth
