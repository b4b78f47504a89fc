// The socket in the data directory: who gets in, what it carries, and what becomes of the file.
#include "server/local_socket.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "base/socket_path.h"
#include "test_server.h"

namespace berth::server {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kStranger = 65'534;

struct Folder {
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "berth-local-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = fs::path(pattern);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

ServerOptions with_socket(const fs::path& path) {
  ServerOptions options;
  options.local_socket = path.string();
  return options;
}

Client connect_to(const fs::path& path) {
  Client client(AF_UNIX);
  client.connect(path.string());
  return client;
}

/// What a stranger's connection gets: the errno of connect(), or the reply.
struct Stranger {
  int error = 0;
  Reply reply;
};

Stranger as_stranger(const fs::path& path) {
  Stranger seen;
  std::thread([&] {
    // The call itself, not the library's: that one changes every thread.
    if (::syscall(SYS_setresuid, -1, kStranger, -1) != 0) return;
    auto client = connect_to(path);
    seen.error = client.connected() ? 0 : errno;
    if (client.connected()) seen.reply = client.read_reply();
  }).join();
  return seen;
}

}  // namespace

TEST_CASE("the local socket says who is there and serves what a port serves") {
  const Folder folder;
  TestServer server(with_socket(folder.path / "berth.sock"));
  auto client = connect_to(folder.path / "berth.sock");
  REQUIRE(client.connected());
  const auto who = fmt::format("uid {}\nlocal 0", ::geteuid());
  CHECK(client.exchange("GET /head HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").body ==
        "GET /head\nHost=a\nContent-Length=0\n" + who);
  CHECK_FALSE(server.handler.loopback_seen);

  const auto body = pattern(3 << 20);
  std::thread writer([&] { client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 70'001)); });
  CHECK(client.read_reply().body == body);
  writer.join();
  server.handler.file = memory_file(body);
  CHECK(client.get("/file").body == body);

  // A body that nobody wants: dropped when it is short, and the answer arrives when it is long.
  client.send("PUT /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + std::string(10'000, 'x'));
  CHECK(client.read_reply().status == 401);
  client.send(std::string(10'000, 'x'));
  CHECK(client.get("/hello").body == "hello");
  client.send("PUT /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n" + std::string(100'000, 'x'));
  const auto refused = client.read_reply();
  CHECK(refused.status == 401);
  CHECK(refused.closes());
}

TEST_CASE("a port says nothing of a local user") {
  const Folder folder;
  TestServer server(with_socket(folder.path / "berth.sock"));
  CHECK(server.client().exchange("GET /head HTTP/1.1\r\nHost: a\r\n\r\n").body == "GET /head\nHost=a\n127.0.0.1 -");
}

TEST_CASE("the local socket is there with the server and gone after it") {
  const Folder folder;
  const auto path = folder.path / "berth.sock";
  {
    TestServer server(with_socket(path));
    struct stat found {};
    REQUIRE(::stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 07777) == 0600);
    CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
    auto idle = connect_to(path);
    CHECK(idle.get("/hello").status == 200);
  }
  CHECK(fs::is_empty(folder.path));
}

TEST_CASE("what has the local socket's name is replaced only when it is a socket") {
  const Folder folder;
  const auto path = folder.path / "berth.sock";
  SECTION("one that a killed server left") {
    REQUIRE(LocalSocket::open(path.string())->take());  // its file goes with it
    fs::create_directory(folder.path / "aside");
    {
      auto killed = LocalSocket::open((folder.path / "aside/s").string());
      REQUIRE(killed);
      fs::create_hard_link(folder.path / "aside/s", path);  // and stays when that one goes
    }
    REQUIRE(fs::is_socket(path));
    CHECK_FALSE(connect_to(path).connected());
    TestServer server(with_socket(path));
    CHECK(connect_to(path).get("/hello").status == 200);
  }
  SECTION("a file") {
    std::ofstream(path) << "mine";
    const auto refused = LocalSocket::open(path.string());
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Contains("something else has this name"));
    TestServer server(with_socket(path));  // the ports are served all the same
    CHECK(server.client().get("/hello").status == 200);
  }
  SECTION("a folder that is not there") {
    const auto refused = LocalSocket::open((folder.path / "no/berth.sock").string());
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Catch::Contains("cannot be made: No such file"));
  }
  if (fs::exists(path) && !fs::is_socket(path)) CHECK(fs::file_size(path) == 4);
}

TEST_CASE("a socket that took the place of the local one is not removed with it") {
  const Folder folder;
  const auto path = (folder.path / "berth.sock").string();
  std::optional<LocalSocket> first;
  first.emplace(*LocalSocket::open(path));
  const auto second = LocalSocket::open(path);
  REQUIRE(second);
  first.reset();
  CHECK(fs::is_socket(path));
}

TEST_CASE("the local socket may lie deeper than the kernel takes a path") {
  const Folder folder;
  const auto deep = folder.path / std::string(100, 'a') / std::string(100, 'b');
  fs::create_directories(deep);
  TestServer server(with_socket(deep / "berth.sock"));
  REQUIRE(fs::is_socket(deep / "berth.sock"));
  const auto fitting = SocketPath::open((deep / "berth.sock").string());
  REQUIRE(fitting);
  CHECK(fitting->text().size() < 108);
  CHECK(connect_to(fitting->text()).get("/hello").status == 200);
}

TEST_CASE("nobody but berth's user and root comes in by the local socket") {
  if (::geteuid() != 0) {
    WARN("skipped: needs root");
    return;
  }
  const Folder folder;
  const auto path = folder.path / "berth.sock";
  TestServer server(with_socket(path));
  fs::permissions(folder.path, fs::perms(0755));
  CHECK(as_stranger(path).error == EACCES);  // by the file's mode
  fs::permissions(path, fs::perms(0666));
  const auto seen = as_stranger(path);  // and by the kernel's word
  CHECK(seen.error == 0);
  CHECK(seen.reply.status == 403);
  CHECK_THAT(seen.reply.body, Catch::Contains("\"DENIED\""));
  CHECK(server.handler.finished_count() == 0);
}

}  // namespace berth::server
