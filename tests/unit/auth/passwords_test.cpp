#include "auth/passwords.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "auth/verified_cache.h"
#include "tests/support/seeded_entropy.h"

namespace berth::auth {
namespace {

constexpr Argon2Cost kCheap{.iterations = 1, .memory_kib = 64, .lanes = 1};

/// What the test's computation would be without the guard is said in the row's name.
struct Row {
  const char* name;
  std::string hash;
  std::string password;
  bool right;
};

asio::awaitable<void> collect(Task<bool> task, std::vector<Result<bool>>& answers) {
  answers.push_back(co_await std::move(task));
}

}  // namespace

TEST_CASE("passwords are checked against hashes of all kinds") {
  const Row rows[] = {
      // The reference implementation's own vectors.
      {"argon2id 256 KiB", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
       "password", true},
      {"argon2id two lanes", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
       "password", true},
      {"argon2id 64 MiB", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
       "password", true},
      {"argon2id wrong", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
       "Password", false},
      {"argon2id longer", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
       std::string("password\0", 9), false},
      // crypt_blowfish's own vectors.
      {"bcrypt 2a", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", true},
      {"bcrypt 2b", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", true},
      {"bcrypt 2y", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", true},
      {"bcrypt another", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*", true},
      {"bcrypt another salt", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U", true},
      {"bcrypt empty", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", "", true},
      {"bcrypt bytes above 127", "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "\xff\xff\xa3", true},
      {"bcrypt 72 bytes", "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
       "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", true},
      {"bcrypt would cut this to a right one", "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
       "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored", false},
      {"bcrypt would stop at the zero byte", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
       std::string("U*U\0x", 5), false},
      {"an unreadable password is not the empty one", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
       std::string(73, 'x'), false},
      {"bcrypt wrong", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "u*u", false},
      {"yescrypt", "$y$j75$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC", "", false},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(is_password_hash(row.hash));
    CHECK(verify_password(row.hash, row.password).value() == row.right);
    CHECK(needs_rehash(row.hash));
  }
}

TEST_CASE("hashes that are not understood or would cost too much are errors") {
  struct BadRow {
    const char* name;
    std::string hash;
  };
  const std::string tag = "$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
  const std::string bcrypt = "$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
  const BadRow rows[] = {
      {"empty", ""},
      {"plain text", "password"},
      {"crypt's failure", "*0"},
      {"argon2i", "$argon2i$v=19$m=256,t=2,p=1" + tag},
      {"argon2 of 2012", "$argon2id$v=16$m=256,t=2,p=1" + tag},
      {"argon2id of 512 MiB", "$argon2id$v=19$m=524288,t=2,p=1" + tag},
      {"argon2id of many rounds", "$argon2id$v=19$m=256,t=17,p=1" + tag},
      {"argon2id of many lanes", "$argon2id$v=19$m=256,t=2,p=9" + tag},
      {"argon2id of no memory", "$argon2id$v=19$m=0,t=2,p=1" + tag},
      {"argon2id of no rounds", "$argon2id$v=19$m=256,t=0,p=1" + tag},
      {"argon2id with a sign", "$argon2id$v=19$m=256,t=-2,p=1" + tag},
      {"argon2id with a leading zero", "$argon2id$v=19$m=0256,t=2,p=1" + tag},
      {"argon2id overflowing", "$argon2id$v=19$m=4294967552,t=2,p=1" + tag},
      {"argon2id without a tag", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"},
      {"argon2id cut off", "$argon2id$v=19$m=256,t=2"},
      {"argon2id and more", "$argon2id$v=19$m=256,t=2,p=1" + tag + "\n"},
      {"bcrypt 2x, known to be broken", "$2x$05" + bcrypt},
      {"bcrypt of 2^15 rounds", "$2y$15" + bcrypt},
      {"bcrypt of too few rounds", "$2y$03" + bcrypt},
      {"bcrypt with a sign", "$2y$+5" + bcrypt},
      {"bcrypt too short", ("$2y$05" + bcrypt).substr(0, 59)},
      {"bcrypt of another alphabet", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyO+W"},
      {"MD5 of Apache", "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/"},
      {"MD5", "$1$r31.....$HqJZimcKQFAMYayBlzkrA/"},
      {"SHA-512 crypt", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1"},
      {"DES", "rl.3StKT.4T8M"},
      {"SHA-1 of Apache", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="},
      {"yescrypt of 1 GiB", "$y$jFT$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC"},
      {"yescrypt of another flavour", "$y$k9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC"},
      {"yescrypt without a hash", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK_FALSE(is_password_hash(row.hash));
    CHECK(verify_password(row.hash, "password").failed_with(ErrorCode::corrupt));
  }
}

TEST_CASE("a new hash is argon2id with its own salt") {
  test::SeededEntropy entropy(7);
  const std::string hash = hash_password("Tr0ub4dor&3", entropy).value();
  CHECK_THAT(hash, Catch::StartsWith("$argon2id$v=19$m=19456,t=2,p=1$"));
  CHECK(hash.size() == 31 + 22 + 1 + 43);
  CHECK(verify_password(hash, "Tr0ub4dor&3").value());
  CHECK_FALSE(verify_password(hash, "Tr0ub4dor&4").value());
  CHECK_FALSE(needs_rehash(hash));
  CHECK(needs_rehash(hash, kCheap));
  CHECK(hash_password("Tr0ub4dor&3", entropy, kCheap).value() != hash_password("Tr0ub4dor&3", entropy, kCheap).value());

  const std::string longest(kPasswordSizeMax, 'x');
  CHECK(verify_password(hash_password(longest, entropy, kCheap).value(), longest).value());
  CHECK(hash_password(longest + 'x', entropy, kCheap).failed_with(ErrorCode::request_invalid));
  CHECK_FALSE(verify_password(hash, longest + 'x').value());
}

TEST_CASE("no password has the decoy's hash") {
  const std::string decoy = decoy_hash(kCheap);
  CHECK(is_password_hash(decoy));
  CHECK_FALSE(needs_rehash(decoy, kCheap));
  CHECK_FALSE(verify_password(decoy, "").value());
  CHECK_FALSE(needs_rehash(decoy_hash()));
}

TEST_CASE("passwords are checked on the pool, so many at once and no more") {
  Pool pool("passwords", 1);
  asio::io_context context(1);
  PasswordChecker checker(pool, {.workers = 1, .queue_max = 3, .cost = {.iterations = 8, .memory_kib = 8192, .lanes = 1}});
  test::SeededEntropy entropy(3);
  const std::string right = hash_password("right", entropy, kCheap).value();

  std::vector<Result<bool>> answers;
  // The thread is busy until all have asked.
  std::promise<void> asked;
  pool.post([&asked] { asked.get_future().wait(); });
  for (int i = 0; i < 6; ++i) asio::co_spawn(context, collect(checker.check_unknown_user("right"), answers), asio::detached);
  context.poll();
  CHECK(pool.waiting() >= 4);  // an operator sees them in the pool's metric
  asked.set_value();
  context.run();
  REQUIRE(answers.size() == 6);
  int refused = 0;
  for (const auto& answer : answers) {
    if (answer.failed_with(ErrorCode::unavailable)) {
      ++refused;
    } else {
      CHECK_FALSE(answer.value());
    }
  }
  CHECK(refused == 2);
  pool.stop();
  CHECK(checker.busy() == 0);
}

TEST_CASE("each of many jobs runs once, whichever worker takes it") {
  Pool pool("passwords", 3);
  asio::io_context context(1);
  PasswordChecker checker(pool, {.workers = 3, .queue_max = 400, .cost = {.iterations = 1, .memory_kib = 8, .lanes = 1}});
  std::vector<Result<bool>> answers;
  for (int i = 0; i < 400; ++i) asio::co_spawn(context, collect(checker.check_unknown_user("x"), answers), asio::detached);
  context.run();
  CHECK(answers.size() == 400);
  for (const auto& answer : answers) CHECK_FALSE(answer.value());
  pool.stop();
  CHECK(checker.busy() == 0);
}

TEST_CASE("the checker tells right from wrong and hashes anew") {
  Pool pool("passwords", 2);
  asio::io_context context(1);
  PasswordChecker checker(pool, {.cost = kCheap});
  test::SeededEntropy entropy(3);
  const std::string hash = hash_password("right", entropy, kCheap).value();
  std::vector<Result<bool>> answers;
  Result<std::string> fresh;
  const auto script = [](PasswordChecker& c, std::string h, Entropy& e, std::vector<Result<bool>>& out,
                         Result<std::string>& made) -> asio::awaitable<void> {
    out.push_back(co_await c.check(h, "right"));
    out.push_back(co_await c.check(h, "wrong"));
    out.push_back(co_await c.check("nonsense", "right"));
    out.push_back(co_await c.check_unknown_user("right", h));  // even if the decoy were a password's hash
    made = co_await c.hash("new", e);
  };
  asio::co_spawn(context, script(checker, hash, entropy, answers, fresh), asio::detached);
  context.run();
  REQUIRE(answers.size() == 4);
  CHECK(answers[0].value());
  CHECK_FALSE(answers[1].value());
  CHECK(answers[2].failed_with(ErrorCode::corrupt));
  CHECK_FALSE(answers[3].value());
  CHECK(verify_password(fresh.value(), "new").value());
}

TEST_CASE("a caller that is gone leaves its job to itself") {
  Pool pool("passwords", 1);
  std::vector<Result<bool>> answers;
  {
    asio::io_context context(1);
    PasswordChecker checker(pool, {.cost = kCheap});
    asio::co_spawn(context, collect(checker.check(decoy_hash(kCheap), "x"), answers), asio::detached);
    asio::co_spawn(context, collect(checker.check(decoy_hash(kCheap), "y"), answers), asio::detached);
    context.poll();
    pool.stop();
  }
  CHECK(answers.size() <= 2);
}

TEST_CASE("a verified credential is known for a minute") {
  using namespace std::chrono_literals;
  test::SeededEntropy entropy(1);
  VerifiedCache cache(entropy, {.entries_max = 3, .lifetime = 60s});
  const SteadyTime start{};
  const auto know = [&](std::string_view user, std::string_view password, SteadyTime now) {
    cache.remember(cache.look_up(user, password, now), user, now);
  };
  const auto knows = [&](std::string_view user, std::string_view password, SteadyTime now) {
    return cache.look_up(user, password, now).known;
  };
  CHECK_FALSE(knows("alice", "secret", start));
  know("alice", "secret", start);
  CHECK(knows("alice", "secret", start));
  CHECK(knows("alice", "secret", start + 59s));
  CHECK_FALSE(knows("alice", "secret2", start));
  CHECK_FALSE(knows("alices", "ecret", start));
  CHECK_FALSE(knows("bob", "secret", start));
  SECTION("use does not make it live longer") {
    CHECK_FALSE(knows("alice", "secret", start + 60s));
    CHECK(cache.size() == 0);
  }
  SECTION("the least recently used goes first") {
    know("bob", "b", start);
    know("carol", "c", start);
    CHECK(knows("alice", "secret", start));
    know("dave", "d", start);
    CHECK(cache.size() == 3);
    CHECK_FALSE(knows("bob", "b", start));
    CHECK(knows("alice", "secret", start));
  }
  SECTION("a forgotten user is not known, others are") {
    know("alice", "other", start);
    know("bob", "b", start);
    cache.forget("alice");
    CHECK_FALSE(knows("alice", "secret", start));
    CHECK_FALSE(knows("alice", "other", start));
    CHECK(knows("bob", "b", start));
    cache.forget_all();
    CHECK_FALSE(knows("bob", "b", start));
  }
  SECTION("a password that changed while it was checked is not remembered") {
    const auto lookup = cache.look_up("bob", "old", start);
    cache.forget("bob");
    cache.remember(lookup, "bob", start);
    CHECK_FALSE(knows("bob", "old", start));
  }
  SECTION("another process has another key") {
    VerifiedCache other(entropy, {});
    CHECK(other.look_up("alice", "secret", start).mac != cache.look_up("alice", "secret", start).mac);
  }
}

TEST_CASE("bench: what a password costs", "[.bench]") {
  const auto time = [](const char* name, int runs, const auto& run) {
    const std::clock_t start = std::clock();  // of the processor: other work on the machine does not count
    for (int i = 0; i < runs; ++i) run();
    const double took = 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf("%-32s %9.3f ms\n", name, took / runs);
  };
  test::SeededEntropy entropy(1);
  time("argon2id t=2 m=19 MiB hash", 20, [&] { ignore(hash_password("a password", entropy)); });
  const std::string hash = hash_password("a password", entropy).value();
  time("argon2id t=2 m=19 MiB verify", 20, [&] { ignore(verify_password(hash, "a password")); });
  for (const char* bcrypt : {"$2y$05$", "$2y$10$", "$2y$12$"}) {
    const std::string text = std::string(bcrypt) + std::string(53, '.');
    time(bcrypt, bcrypt[4] == '0' ? 50 : 4, [&] { ignore(verify_password(text, "a password")); });
  }
  VerifiedCache cache(entropy, {});
  cache.remember(cache.look_up("alice", "a password", SteadyTime{}), "alice", SteadyTime{});
  time("verified cache", 20'000, [&] { (void)cache.look_up("alice", "a password", SteadyTime{}); });
}

}  // namespace berth::auth
