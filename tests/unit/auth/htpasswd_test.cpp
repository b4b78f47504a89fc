#include "auth/htpasswd.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "auth/passwords.h"
#include "tests/support/manual_clock.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;

constexpr const char* kHash = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";  // U*U

std::string line(std::string_view name) { return std::string(name) + ":" + kHash + "\n"; }

struct File {
  File() : path(std::filesystem::temp_directory_path() / ("berth-htpasswd-" + std::to_string(::getpid()))) {}
  ~File() { std::filesystem::remove(path); }
  void write(const std::string& text) const { std::ofstream(path, std::ios::trunc) << text; }
  std::filesystem::path path;
};

asio::awaitable<void> ask(std::shared_ptr<HtpasswdFile> file, std::shared_ptr<const Htpasswd>& answer) {
  auto current = co_await HtpasswdFile::current(std::move(file));
  answer = current.value();
}

}  // namespace

TEST_CASE("a file of bcrypt lines is read") {
  const auto parsed = Htpasswd::parse("# users\n\n" + line("alice") + "Bob.B:" + kHash + "\r\n" + line("ci@example.com"), "f");
  REQUIRE(parsed);
  CHECK(parsed->size() == 3);
  REQUIRE(parsed->find("alice") != nullptr);
  CHECK(*parsed->find("alice") == kHash);
  CHECK(parsed->find("bob.b") != nullptr);
  CHECK(parsed->find("BOB.B") != nullptr);
  CHECK(parsed->find("carol") == nullptr);
  CHECK(parsed->find("") == nullptr);
  CHECK(Htpasswd::parse("", "f")->size() == 0);
  CHECK(Htpasswd::parse("alice:" + std::string(kHash), "f")->size() == 1);
}

TEST_CASE("the decoy costs what the users' hashes cost") {
  const std::string twelve = "$2b$12$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
  const auto parsed = Htpasswd::parse("a:" + twelve + "\n" + line("b") + line("c"), "f");
  REQUIRE(parsed);
  CHECK_THAT(parsed->decoy(), Catch::StartsWith("$2y$05$"));
  CHECK(is_password_hash(parsed->decoy()));
  CHECK_FALSE(verify_password(parsed->decoy(), "U*U").value());
  CHECK_FALSE(verify_password(parsed->decoy(), "").value());
  CHECK(Htpasswd::parse("", "f")->decoy().empty());
}

TEST_CASE("lines that are not understood are refused with their number") {
  struct Row {
    const char* name;
    std::string text;
    const char* says;
  };
  const Row rows[] = {
      {"no colon", line("a") + "alice\n", "f:2: expected name:hash"},
      {"plain text", "alice:secret\n", "f:1: only bcrypt"},
      {"MD5 of Apache", line("a") + line("b") + "alice:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n", "f:3: only bcrypt"},
      {"SHA-1", "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", "f:1: only bcrypt"},
      {"argon2", "a:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\n", "f:1: only bcrypt"},
      {"bcrypt that takes minutes", "a:$2y$20$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n", "f:1: only bcrypt"},
      {"a field too many", "alice:" + std::string(kHash) + ":x\n", "f:1: only bcrypt"},
      {"no name", ":" + std::string(kHash), "f:1: a user name"},
      {"a name with a blank", line("a b"), "f:1: a user name"},
      {"a name that ends in a dot", line("a."), "f:1: a user name"},
      {"a long name", line(std::string(65, 'a')), "f:1: a user name"},
      {"a user twice", line("a") + line("b") + line("A"), "f:3: this user is there already"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto parsed = Htpasswd::parse(row.text, "f");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == ErrorCode::request_invalid);
    CHECK_THAT(parsed.error().message, Catch::StartsWith(row.says));
    CHECK_THAT(parsed.error().message, !Catch::Contains("secret"));
  }
}

TEST_CASE("the file is read anew when it changed, and a bad one changes nothing") {
  File file;
  test::ManualClock clock;
  Pool pool("files", 1);
  CHECK(HtpasswdFile::open(file.path, pool, clock).failed_with(ErrorCode::io_error));
  CHECK(HtpasswdFile::open("/dev/null", pool, clock).failed_with(ErrorCode::io_error));
  file.write("nonsense\n");
  CHECK(HtpasswdFile::open(file.path, pool, clock).failed_with(ErrorCode::request_invalid));

  file.write(line("alice"));
  auto opened = HtpasswdFile::open(file.path, pool, clock);
  REQUIRE(opened);
  const std::shared_ptr<HtpasswdFile> users = *std::move(opened);
  const auto knows = [&](const char* name) { return users->look()->find(name) != nullptr; };
  CHECK(knows("alice"));
  CHECK(users->version() == 0);

  file.write(line("bobby"));  // the same size, perhaps in the same tick of the clock
  CHECK(knows("alice"));      // a second has not passed
  clock.advance(1s);
  CHECK(knows("bobby"));
  CHECK_FALSE(knows("alice"));
  const auto version = users->version();
  CHECK(version >= 1);

  file.write(line("bobby") + "carol:secret\n");
  clock.advance(1s);
  CHECK(knows("bobby"));
  CHECK_FALSE(knows("carol"));
  std::filesystem::remove(file.path);
  clock.advance(1s);
  CHECK(knows("bobby"));
  CHECK(users->version() == version);

  file.write(line("dave"));
  clock.advance(1s);
  CHECK(knows("dave"));
  CHECK(users->version() == version + 1);

  // Left alone for a while, it is not even opened: its permissions do not matter.
  std::this_thread::sleep_for(150ms);
  clock.advance(1s);
  CHECK(knows("dave"));
  const auto settled = users->version();
  clock.advance(1s);
  CHECK(knows("dave"));
  CHECK(users->version() == settled);

  std::filesystem::resize_file(file.path, Htpasswd::kFileSizeMax + 1);
  clock.advance(1s);
  CHECK(knows("dave"));
}

TEST_CASE("whoever asks after a change gets the new content, without waiting for the next") {
  File file;
  file.write(line("alice"));
  test::ManualClock clock;
  Pool pool("files", 1);
  asio::io_context context(1);
  const std::shared_ptr<HtpasswdFile> users = HtpasswdFile::open(file.path, pool, clock).value();
  file.write(line("bob"));
  std::shared_ptr<const Htpasswd> early;
  asio::co_spawn(context, ask(users, early), asio::detached);
  context.run();
  CHECK(early->find("alice") != nullptr);
  clock.advance(1h);
  std::shared_ptr<const Htpasswd> first;
  std::shared_ptr<const Htpasswd> second;
  asio::co_spawn(context, ask(users, first), asio::detached);
  asio::co_spawn(context, ask(users, second), asio::detached);
  context.restart();
  context.run();
  CHECK(first->find("bob") != nullptr);
  CHECK(first->find("alice") == nullptr);
  CHECK(second == first);
}

}  // namespace berth::auth
