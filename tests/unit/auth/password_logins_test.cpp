#include "auth/password_logins.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/test_authority.h"
#include "tests/support/test_directory.h"
#include "tests/unit/auth/token_world.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

constexpr Argon2Cost kCheap{.iterations = 1, .memory_kib = 64, .lanes = 1};

const std::string kTree =
    "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n\n"
    "dn: cn=berth,dc=example,dc=org\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
    "cn: berth\nuserPassword: searching\n\n"
    "dn: uid=dora,dc=example,dc=org\nobjectClass: inetOrgPerson\nsn: x\ncn: x\nuid: dora\nmail: boss\nuserPassword: d\n\n"
    "dn: uid=carl,dc=example,dc=org\nobjectClass: inetOrgPerson\nsn: x\ncn: x\nuid: carl\nmail: c\nuserPassword: c\n\n";

/// A line of a file for a password that nobody knows.
std::string line_of(const std::string& user) { return user + ":$2y$04$" + std::string(53, 'a') + '\n'; }

AuthOptions with_directory(const TestDirectory& directory, const TestFolder& folder) {
  using enum PasswordMethod;
  AuthOptions options;
  options.methods = {users, htpasswd, ldap};
  options.ldap.emplace();
  options.ldap->endpoint.urls = {directory.url()};
  options.ldap->endpoint.ca_file = directory.root();
  options.ldap->bind_dn = "cn=berth,dc=example,dc=org";
  options.ldap->bind_password_file = folder.write("password", "searching\n");
  options.ldap->user_base = "dc=example,dc=org";
  return options;
}

/// Alice is one of berth's own users.
struct World : testing::IdentityWorld {
  explicit World(AuthOptions options) {
    options.passwords.cost = kCheap;
    auto made = PasswordLogins::create(options, {identities(), subjects, pool, passwords, clock, entropy});
    REQUIRE(made.has_value());
    logins = *std::move(made);
    must(identities().create_user(testing::kRoot,
                                  {.name = "alice", .password_hash = hash_password("secret", entropy, kCheap).value()}));
  }
  /// What the login ends with: the name, or the word of an error.
  std::string login(const std::string& user, const std::string& password, const std::string& peer = "192.0.2.1") {
    const auto identity = run_task(logins->check(user, password, peer));
    return identity ? identity->name : std::string(to_string(identity.error().code));
  }

  Subjects subjects{identities()};
  Pool passwords{"password", 2};
  std::unique_ptr<PasswordLogins> logins;
};

}  // namespace

TEST_CASE("a flood of guesses at once keeps nobody out who is known") {
  AuthOptions options;
  options.methods = {PasswordMethod::users};
  options.passwords.workers = 2;
  options.passwords.queue_max = 14;
  options.verified.lifetime = 0s;  // each login is checked
  World world(options);
  REQUIRE(world.login("alice", "secret") == "alice");
  constexpr int kGuesses = 64;
  std::vector<std::string> said(kGuesses);
  std::vector<std::thread> threads;
  for (int i = 0; i < kGuesses; ++i) {
    threads.emplace_back([&, i] { said[i] = world.login("random" + std::to_string(i), "x"); });
  }
  for (int i = 0; i < 20; ++i) CHECK(world.login("alice", "secret") == "alice");
  for (auto& thread : threads) thread.join();
  CHECK(std::ranges::count(said, "unavailable"s) == 0);
  CHECK(std::ranges::count(said, "unauthorized"s) == 21);
  CHECK(std::ranges::count(said, "too_many_requests"s) == kGuesses - 21);
}

TEST_CASE("logins at once that are right are all served, from one address and for the first time") {
  AuthOptions options;
  options.methods = {PasswordMethod::users};
  options.passwords.workers = 2;
  options.passwords.queue_max = 14;
  options.verified.lifetime = 0s;
  World world(options);
  std::vector<std::string> said(64);
  std::vector<std::thread> threads;
  for (std::string& one : said) {
    threads.emplace_back([&world, &one] { one = world.login("alice", "secret"); });
  }
  for (auto& thread : threads) thread.join();
  CHECK(std::ranges::count(said, "alice"s) == 64);
}

TEST_CASE("with a directory no failed login tells who is known to whom") {
  if (!TestDirectory::available("with a directory no failed login tells who is known to whom")) return;
  TestDirectory directory(kTree);
  const TestFolder folder;
  AuthOptions options = with_directory(directory, folder);
  options.htpasswd_file = folder.write("htpasswd", line_of("bob"));
  // What is tried here is not what slows guessing.
  options.throttle.pair.free_failures = options.throttle.account.free_failures = 1000;
  options.throttle.address.free_failures = 1000;
  SECTION("that is asked first") {
    using enum PasswordMethod;
    options.methods = {ldap, users, htpasswd};
  }
  SECTION("that is asked last") {}
  World world(options);
  const auto try_all = [&world](const std::string& password, const std::string& said) {
    for (const char* name : {"alice", "bob", "dora", "nobody"}) {
      INFO(name << " with \"" << password << '"');
      const auto begun = std::chrono::steady_clock::now();
      CHECK(world.login(name, password) == said);
      CHECK(std::chrono::steady_clock::now() - begun >= 490ms);
    }
  };
  try_all("wrong", "unauthorized");
  try_all("", "unauthorized");
  directory.stop();
  try_all("wrong", "unavailable");
  try_all("", "unauthorized");
  // Who is right gets in, whatever the directory does.
  CHECK(world.login("alice", "secret") == "alice");
}

TEST_CASE("guesses count while the directory is down, for whomever they are") {
  if (!TestDirectory::available("guesses count while the directory is down, for whomever they are")) return;
  TestDirectory directory(kTree);
  directory.stop();
  const TestFolder folder;
  for (const char* name : {"alice", "nobody"}) {
    INFO(name);
    World world(with_directory(directory, folder));
    for (int i = 0; i < 6; ++i) CHECK(world.login(name, "wrong") == "unavailable");
    CHECK(world.login(name, "wrong") == "too_many_requests");
  }
}

TEST_CASE("a directory lets nobody in under a name of the htpasswd file") {
  if (!TestDirectory::available("a directory lets nobody in under a name of the htpasswd file")) return;
  TestDirectory directory(kTree);
  const TestFolder folder;
  AuthOptions options = with_directory(directory, folder);
  options.ldap->user_filter = "(|(uid={user})(mail={user}))";
  options.htpasswd_file = folder.write("htpasswd", line_of("carl"));
  World world(options);
  CHECK(world.login("dora", "d") == "dora");
  CHECK(world.login("boss", "d") == "dora");
  CHECK(world.login("carl", "c") == "unauthorized");
  CHECK(world.login("c", "c") == "unauthorized");
}

}  // namespace berth::auth
