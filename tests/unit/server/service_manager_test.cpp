// What the service manager hears, and the sockets it passes.
#include "server/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "server/passed_sockets.h"
#include "test_server.h"

namespace berth::server {
namespace {

/// The manager's end: an abstract or a named datagram socket.
class Ear {
 public:
  explicit Ear(bool abstract) {
    static int made = 0;
    const std::string name = fmt::format("{}/berth-notify-{}-{}", abstract ? "" : std::filesystem::temp_directory_path().string(),
                                         ::getpid(), ++made);
    path = (abstract ? "@" : "") + name;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (abstract) address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
    socket_ = Descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
  }
  ~Ear() {
    if (path.front() == '/') ::unlink(path.c_str());
  }
  /// The next message; empty: there is none.
  std::string heard() const {
    char text[512];
    const auto size = ::recv(socket_.get(), text, sizeof text, 0);
    return size < 0 ? std::string{} : std::string(text, static_cast<std::size_t>(size));
  }
  std::string path;

 private:
  Descriptor socket_;
};

constexpr std::int64_t kPid = 4711;

std::int64_t ms(SteadyTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

TEST_CASE("the service manager hears of each step of life, at a path or at an abstract name") {
  const bool abstract = GENERATE(false, true);
  const Ear ear(abstract);
  ServiceManager manager({{"NOTIFY_SOCKET", ear.path}}, kPid);
  manager.ready();
  CHECK(ear.heard() == "READY=1\nSTATUS=serving\n");
  manager.reloading();
  const auto reloading = ear.heard();
  CHECK(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="));
  CHECK(std::stoull(reloading.substr(reloading.find("USEC=") + 5)) > 0);
  manager.stopping();
  CHECK(ear.heard().starts_with("STOPPING=1\n"));
  // No WATCHDOG_USEC: it is not fed.
  const SteadyTime now = std::chrono::steady_clock::now();
  manager.tick(now, ms(now));
  CHECK(ear.heard().empty());
}

TEST_CASE("nobody to tell, or somebody who is gone, harms nobody") {
  for (const Variables& variables : {Variables{}, Variables{{"NOTIFY_SOCKET", ""}}, Variables{{"NOTIFY_SOCKET", "relative"}},
                                     Variables{{"NOTIFY_SOCKET", "/" + std::string(300, 'x')}},
                                     Variables{{"NOTIFY_SOCKET", "/nowhere/at/all"}, {"WATCHDOG_USEC", "20000000"}}}) {
    ServiceManager manager(variables, kPid);
    manager.ready();
    manager.reloading();
    manager.tick(SteadyTime(1h), ms(SteadyTime(1h)));
    manager.stopping();
  }
}

TEST_CASE("the watchdog is fed four times an interval, and only while every I/O thread lives") {
  const Ear ear(false);
  ServiceManager manager({{"NOTIFY_SOCKET", ear.path}, {"WATCHDOG_USEC", "20000000"}, {"WATCHDOG_PID", "4711"}}, kPid);
  CHECK(manager.watchdog() == 20s);
  const SteadyTime begin(1h);
  const auto fed = [&](SteadyTime now, SteadyTime beat) {
    manager.tick(now, ms(beat));
    return ear.heard();
  };
  CHECK(fed(begin, begin) == "WATCHDOG=1\n");
  CHECK(fed(begin, begin).empty());  // another thread's tick
  CHECK(fed(begin + 4s, begin + 4s).empty());
  CHECK(fed(begin + 5s, begin + 5s) == "WATCHDOG=1\n");
  // One thread hangs from here on: the others still tick.
  CHECK(fed(begin + 10s, begin + 5s) == "WATCHDOG=1\n");
  CHECK(fed(begin + 16s, begin + 5s).empty());
  CHECK(fed(begin + 60s, begin + 5s).empty());
  CHECK(fed(begin + 61s, begin + 61s) == "WATCHDOG=1\n");
}

TEST_CASE("a watchdog that waits for another process is not fed") {
  const Ear ear(false);
  ServiceManager manager({{"NOTIFY_SOCKET", ear.path}, {"WATCHDOG_USEC", "20000000"}, {"WATCHDOG_PID", "4712"}}, kPid);
  manager.tick(SteadyTime(1h), ms(SteadyTime(1h)));
  CHECK(ear.heard().empty());
}

/// A listening socket on loopback, or one that does not listen.
Descriptor open_socket(bool listening, std::uint16_t& port, std::uint32_t host = INADDR_LOOPBACK) {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(host);
  socklen_t size = sizeof address;
  REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
  if (listening) REQUIRE(::listen(socket.get(), 8) == 0);
  REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port = ntohs(address.sin_port);
  return socket;
}

TEST_CASE("sockets are taken as the environment says") {
  std::uint16_t port = 0;
  const auto socket = open_socket(true, port);
  const int first = socket.get();
  const auto taken = passed_sockets({{"LISTEN_PID", "4711"}, {"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "berth.socket:x"}}, kPid, first);
  REQUIRE(taken);
  REQUIRE(taken->size() == 1);
  CHECK(taken->front().descriptor == first);
  CHECK(taken->front().name == "berth.socket");
  CHECK(taken->front().address == "127.0.0.1");
  CHECK(taken->front().port == port);
  CHECK((::fcntl(first, F_GETFD) & FD_CLOEXEC) != 0);

  for (const Variables& nothing : {Variables{}, Variables{{"LISTEN_PID", "4712"}, {"LISTEN_FDS", "1"}}, Variables{{"LISTEN_FDS", "1"}},
                                   Variables{{"LISTEN_PID", "4711"}}, Variables{{"LISTEN_PID", "4711"}, {"LISTEN_FDS", "one"}}}) {
    const auto none = passed_sockets(nothing, kPid, first);
    REQUIRE(none);
    CHECK(none->empty());
  }
}

TEST_CASE("what is no listening TCP socket is refused by name") {
  std::uint16_t port = 0;
  const auto silent = open_socket(false, port);
  const Ear ear(false);
  const Descriptor datagram(::socket(AF_INET, SOCK_DGRAM, 0));
  for (const int descriptor : {silent.get(), datagram.get(), 1'000'000}) {
    const auto taken = passed_sockets({{"LISTEN_PID", "4711"}, {"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "odd.socket"}}, kPid, descriptor);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().message.find("(odd.socket) is no listening TCP socket") != std::string::npos);
  }
  CHECK_FALSE(passed_sockets({{"LISTEN_PID", "4711"}, {"LISTEN_FDS", "100000"}}, kPid));
}

TEST_CASE("a passed socket goes to the listener with its address, and to no other") {
  struct Row {
    const char* name;
    std::vector<PassedSocket> sockets;
    std::vector<ListenerOptions> listeners;
    std::vector<int> expected;  ///< empty: refused
  };
  const ListenerOptions loopback{"127.0.0.1", 5000}, tls{"0.0.0.0", 443}, any{"127.0.0.1", 0}, six{"::1", 5000};
  const std::vector<Row> rows = {
      {"one", {{3, "a", "127.0.0.1", 5000}}, {loopback}, {3}},
      {"none", {}, {loopback, tls}, {-1, -1}},
      {"order is of no account", {{3, "a", "0.0.0.0", 443}, {4, "b", "127.0.0.1", 5000}}, {loopback, tls}, {4, 3}},
      {"fewer than listeners", {{3, "a", "0.0.0.0", 443}}, {loopback, tls}, {-1, 3}},
      {"both wildcards are one", {{3, "a", "::", 443}}, {tls}, {3}},
      {"port 0 takes any", {{3, "a", "127.0.0.1", 7777}}, {any}, {3}},
      {"the exact one first", {{3, "a", "127.0.0.1", 7777}, {4, "b", "127.0.0.1", 5000}}, {any, loopback}, {3, 4}},
      {"IPv6", {{3, "a", "::1", 5000}}, {loopback, six}, {-1, 3}},
      {"another port", {{3, "a", "127.0.0.1", 5001}}, {loopback}, {}},
      {"open to all where the settings say loopback", {{3, "a", "0.0.0.0", 5000}}, {loopback}, {}},
      {"two for one listener", {{3, "a", "127.0.0.1", 5000}, {4, "b", "127.0.0.1", 5000}}, {loopback}, {}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    auto listeners = row.listeners;
    const auto adopted = adopt_sockets(row.sockets, listeners);
    REQUIRE(bool(adopted) == !row.expected.empty());
    if (!adopted) {
      CHECK(adopted.error().message.find("and no listener has that address (they have 127.0.0.1:5000)") != std::string::npos);
      continue;
    }
    for (std::size_t i = 0; i < listeners.size(); ++i) CHECK(listeners[i].passed_socket == row.expected[i]);
  }
}

TEST_CASE("a server takes a passed socket over, with those who wait in it") {
  std::uint16_t port = 0;
  auto socket = open_socket(true, port);
  Client early(port);  // before there is a server
  early.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  ServerOptions options;
  options.listeners.push_back({"127.0.0.1", port});
  options.listeners.front().passed_socket = socket.release();
  TestServer server(options);
  CHECK(server.port == port);
  CHECK(early.read_reply().body == "hello");
}

}  // namespace
}  // namespace berth::server
