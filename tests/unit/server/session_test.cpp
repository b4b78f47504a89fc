#include "server/session.h"

#include <spdlog/sinks/ostream_sink.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <set>
#include <sstream>

#include "base/completion.h"
#include "server/io_thread.h"
#include "storage/measured_file_system.h"
#include "test_server.h"
#include "tests/support/faulty_files.h"
#include "tests/support/scrape.h"

namespace berth::server {

TEST_CASE("a request is answered and the connection lives on") {
  TestServer server;
  auto client = server.client();
  for (int i = 0; i < 3; ++i) {
    const auto reply = client.get("/hello");
    CHECK(reply.status == 200);
    CHECK(reply.body == "hello");
    CHECK(reply.head.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(reply.field("Content-Length") == "5");
    CHECK(reply.field("Content-Type") == "text/plain");
    CHECK(reply.field("Date").ends_with(" GMT"));
    CHECK(!reply.closes());
  }
  CHECK(server.handler.loopback_seen);
  CHECK(server.handler.finished_of("/hello") == Finished{"/hello", 200, 5, true});
}

TEST_CASE("the handler sees the request as it was sent") {
  TestServer server;
  auto client = server.client();
  const auto reply = client.exchange(
      "PATCH /head?x=%2F HTTP/1.1\r\nHost: a:1\r\nAccept: b\r\nACCEPT: c\r\nContent-Length: 2\r\n\r\nhi");
  CHECK(reply.body == "PATCH /head?x=%2F\nHost=a:1\nAccept=b\nACCEPT=c\nContent-Length=2\n127.0.0.1 body 2");
  CHECK(client.exchange("BREW /head HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").body ==
        "BREW /head\nHost=a\nTransfer-Encoding=chunked\n127.0.0.1 body -");
  CHECK(client.exchange("GET /head HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").body ==
        "GET /head\nHost=a\nContent-Length=0\n127.0.0.1 0");
}

TEST_CASE("pipelined requests are answered in order, bodies between them included") {
  TestServer server;
  std::string requests;
  std::vector<std::string> bodies;
  for (std::size_t i = 0; i < 40; ++i) {
    const auto body = pattern(i * i * 7, i);
    if (i % 2 == 0) {
      requests += fmt::format("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.size()) + body;
    } else {
      requests += "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, i * 3);
    }
    bodies.push_back(body);
  }
  for (const std::size_t packet : {requests.size(), std::size_t{1000}, std::size_t{37}}) {
    auto client = server.client();
    std::thread writer([&] {
      for (std::size_t at = 0; at < requests.size(); at += packet) client.send(std::string_view(requests).substr(at, packet));
    });
    for (const auto& body : bodies) {
      const auto reply = client.read_reply();
      CHECK(reply.status == 200);
      CHECK(reply.body == body);
    }
    writer.join();
    CHECK(client.quiet_for(20ms));
  }
}

TEST_CASE("a request that comes byte by byte is one request") {
  TestServer server;
  auto client = server.client();
  const std::string request = "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
  for (const char c : request) {
    client.send(std::string_view(&c, 1));
    std::this_thread::sleep_for(500us);
  }
  CHECK(client.read_reply().body == "hello");
}

TEST_CASE("large bodies arrive whole") {
  TestServer server;
  const auto body = pattern(5'000'000);
  auto client = server.client();
  for (const std::size_t chunk : {0U, 32U << 10, 100'000U, 10'000'000U}) {
    std::thread writer([&] {
      client.send(chunk == 0 ? fmt::format("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.size()) + body
                             : "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, chunk));
    });
    const auto reply = client.read_reply();
    writer.join();
    CHECK(reply.complete);
    CHECK((reply.body == body));
  }
}

TEST_CASE("HTTP/1.0 and Connection: close end the connection after the answer") {
  TestServer server;
  for (const std::string request : {"GET /hello HTTP/1.0\r\n\r\n", "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                                    "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                                    "GET /close HTTP/1.1\r\nHost: a\r\n\r\n"}) {
    auto client = server.client();
    const auto reply = client.exchange(request);
    CHECK(reply.status == 200);
    CHECK(reply.complete);
    CHECK(reply.closes());
    CHECK(client.at_end());
  }
}

TEST_CASE("a client that ends its side still gets its answer") {
  TestServer server;
  auto client = server.client();
  client.send("GET /wait/50 HTTP/1.1\r\nHost: a\r\n\r\n");
  client.shutdown_write();
  CHECK(client.read_reply().body == "waited");
  CHECK(client.at_end());
}

TEST_CASE("HEAD, 204 and 304 have no body") {
  TestServer server;
  server.handler.file = memory_file(pattern(3'000'000));
  auto client = server.client();
  auto reply = client.exchange("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", true);
  CHECK(reply.status == 200);
  CHECK(reply.field("Content-Length") == "5");
  reply = client.exchange("HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n", true);
  CHECK(reply.field("Content-Length") == "3000000");
  CHECK(server.handler.finished_of("/file") == Finished{"/file", 200, 0, true});
  CHECK(server.handler.unreadable == 0);
  for (const std::string target : {"/empty204", "/empty304"}) {
    reply = client.get(target);
    CHECK(reply.field("Content-Length").empty());
    CHECK(reply.status == (target == "/empty304" ? 304 : 204));
  }
  // Had a body been sent, this would not be read as an answer.
  CHECK(client.get("/hello").body == "hello");
}

TEST_CASE("100 Continue is sent when the handler asks for the body, and not before") {
  TestServer server;
  const std::string head = "PUT {} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
  {
    auto client = server.client();
    client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    const auto interim = client.read_reply(true);
    CHECK(interim.head == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(client.quiet_for(50ms));
    client.send("hello");
    CHECK(client.read_reply().body == "hello");
    CHECK(client.get("/hello").status == 200);
  }
  {
    // Chunked, twice on one connection.
    auto client = server.client();
    for (int i = 0; i < 2; ++i) {
      client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
      CHECK(client.read_reply(true).status == 100);
      client.send("2\r\nhi\r\n0\r\n\r\n");
      CHECK(client.read_reply().body == "hi");
    }
  }
  {
    // A client that does not wait needs no invitation.
    auto client = server.client();
    CHECK(client.exchange("PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello").body == "hello");
  }
  {
    // Refused: whether the body comes now is anybody's guess, so the connection ends.
    auto client = server.client();
    const auto reply = client.exchange("PUT /ignore HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    CHECK(reply.status == 401);
    CHECK(reply.closes());
    CHECK(client.at_end());
  }
}

TEST_CASE("an early answer to a short body keeps the connection") {
  TestServer server;
  auto client = server.client();
  // All there already, coming later, and in chunks that came with the head.
  auto reply = client.exchange("PUT /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
  CHECK(reply.status == 401);
  CHECK(!reply.closes());
  reply = client.exchange("PUT /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
  CHECK(!reply.closes());
  client.send(std::string(200'000, 'x'));
  CHECK(client.get("/hello").body == "hello");
  reply = client.exchange("PUT /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(reply.status == 401);
  CHECK(!reply.closes());
  CHECK(client.read_reply().body == "hello");
  // Part of it read by the handler.
  reply = client.exchange("PUT /one HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x'));
  CHECK(reply.status == 200);
  CHECK(client.get("/hello").body == "hello");
}

TEST_CASE("an early answer to a long body reaches the client although it still sends") {
  TestServer server;
  for (const bool in_chunks : {false, true}) {
    auto client = server.client();
    client.send(in_chunks ? "PATCH /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"
                          : "PATCH /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    const std::string piece(64 << 10, 'x');
    for (int i = 0; i < 12; ++i) {
      CHECK(client.send(piece));
      std::this_thread::sleep_for(2ms);
    }
    client.shutdown_write();
    const auto reply = client.read_reply();
    CHECK(reply.status == 401);
    CHECK(reply.body == "no");
    CHECK(reply.closes());
    CHECK(client.at_end());
  }
}

TEST_CASE("heads that are refused get the protocol's error body and the connection ends") {
  TestServer server;
  struct Row {
    std::string request;
    unsigned status;
  };
  const std::vector<Row> rows = {
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"PUT / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417},
      {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
      {"GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(100'000, 'a') + "\r\n\r\n", 431},
      {"\x16\x03\x01\x02", 400},
  };
  for (const auto& row : rows) {
    auto client = server.client();
    const auto reply = client.exchange(row.request);
    INFO(reply.head);
    CHECK(reply.status == row.status);
    CHECK(reply.closes());
    CHECK(reply.field("Content-Type") == "application/json");
    CHECK(reply.body.starts_with(R"({"errors":[{"code":"UNSUPPORTED","message":")") == (row.status < 500));
    CHECK(client.at_end());
  }
  CHECK(server.handler.finished_count() == 0);
}

TEST_CASE("the answer to a refused head carries what every answer carries") {
  TestServer server;
  struct Row {
    const char* name;
    std::string request;
    const char* version;
    bool body;
  };
  const std::vector<Row> rows = {
      {"a path of the registry", "GET /v2/a/tags/list HTTP/1.1\r\n\r\n", "registry/2.0", true},
      {"another version", "GET /v2/?n=1 HTTP/3.0\r\nHost: a\r\n\r\n", "registry/2.0", true},
      {"another path", "GET /livez HTTP/1.1\r\n\r\n", "", true},
      {"no path that can be read", "GET /v2/\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "", true},
      {"nothing that can be read", "\x16\x03\x01\x02", "", true},
      {"a HEAD", "HEAD /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "registry/2.0", false},
      {"a HEAD of what cannot be read", "HEAD v2 HTTP/1.1\r\nHost: a\r\n\r\n", "", false},
  };
  std::set<std::string> ids;
  for (const auto& row : rows) {
    INFO(row.name);
    auto client = server.client();
    const auto reply = client.exchange(row.request, !row.body);
    const auto id = reply.field("X-Request-Id");
    CHECK(id.size() == 36);
    ids.insert(id);
    CHECK(reply.field("Docker-Distribution-API-Version") == row.version);
    CHECK(reply.field("X-Content-Type-Options") == "nosniff");
    CHECK(reply.field("Content-Security-Policy") == "default-src 'none'");
    CHECK((reply.body.find(R"("detail":{"request_id":")" + id) != std::string::npos) == row.body);
    CHECK(client.at_end());
  }
  CHECK(ids.size() == rows.size());
}

TEST_CASE("a chunked body that is malformed ends the connection") {
  TestServer server;
  for (const std::string body : {"x\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n", "0\r\nbad trailer\r\n\r\n"}) {
    auto client = server.client();
    const auto reply = client.exchange("PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body);
    CHECK(reply.status == 400);
    CHECK(reply.body == "size_invalid");
    CHECK(reply.closes());
    CHECK(client.at_end());
  }
}

TEST_CASE("a handler's mistakes cost one connection and nothing else") {
  TestServer server;
  std::ostringstream log;
  const auto previous = spdlog::default_logger();
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  {
    auto client = server.client();
    const auto reply = client.get("/throw?code=not-for-the-log");
    CHECK(reply.status == 500);
    CHECK(client.at_end());
  }
  spdlog::set_default_logger(previous);
  CHECK(log.str().find("GET /throw: unexpected exception: a bug") != std::string::npos);
  CHECK(log.str().find("not-for-the-log") == std::string::npos);
  {
    auto client = server.client();
    client.send("GET /inject HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(client.at_end());
    CHECK(!server.handler.finished_of("/inject").complete);
  }
  {
    auto client = server.client();
    client.send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(client.at_end());
    CHECK(server.handler.finished_of("/nothing") == Finished{"/nothing", api::kNoAnswer, 0, false});
  }
  CHECK(server.client().get("/hello").status == 200);
}

TEST_CASE("files, memory and text are sent in order") {
  TestServer server;
  server.handler.file = memory_file("0123456789");
  server.handler.memory = std::make_shared<const std::string>("abcdefghij");
  auto client = server.client();
  const auto reply = client.get("/parts");
  CHECK(reply.body == "<123|cdefg5678>");
  CHECK(server.handler.finished_of("/parts") == Finished{"/parts", 200, 15, true});
}

TEST_CASE("a large file and large memory reach four clients whole") {
  TestServer server;
  const auto content = pattern(12'345'678);
  server.handler.file = memory_file(content);
  server.handler.memory = std::make_shared<const std::string>(content);
  std::vector<std::thread> clients;
  std::atomic<int> right{0};
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&server, &content, &right, i] {
      Client client(server.port, i % 2 == 0 ? 0 : 32 << 10);
      for (const std::string target : {"/file", "/memory"}) {
        if (client.get(target).body == content) ++right;
      }
    });
  }
  for (auto& client : clients) client.join();
  CHECK(right == 8);
}

TEST_CASE("a file on a disk is read ahead by the pool and sent whole") {
  TestServer server;
  const auto content = pattern(3 << 20);
  server.handler.file = cold_file(content);
  auto client = server.client();
  CHECK((client.get("/file").body == content));
}

TEST_CASE("what an answer waited for the disk is told") {
  struct SlowFiles final : test::FilesOver {
    SlowFiles() : FilesOver(storage::posix_file_system()) {}
    Result<std::size_t> read_at(int fd, std::span<std::byte> out, std::uint64_t offset) override {
      if (offset == 0) std::this_thread::sleep_for(200ms);
      return FilesOver::read_at(fd, out, offset);
    }
  } slow;
  TestServer server;
  server.handler.file = cold_file(pattern(1 << 20));
  server.handler.file->files = &slow;
  auto client = server.client();
  CHECK(client.get("/file").complete);
  CHECK(server.handler.finished_of("/file").disk_wait >= 200ms);
  CHECK(client.get("/file?warm").complete);
  CHECK(server.handler.finished_of("/file?warm").disk_wait == 0s);
}

TEST_CASE("a disk that cannot read what is to be sent is counted, and the log says of which request") {
  test::FaultyFiles files(storage::posix_file_system());
  storage::MeasuredFileSystem measured(files);
  files.arm({.nth = 1, .sticky = true, .error_number = EIO, .calls = {test::FileCall::read}});
  const test::Changes seen;
  TestServer server;
  server.handler.file = cold_file(pattern(1 << 20));
  server.handler.file->files = &measured;
  auto client = server.client();
  const auto reply = client.get("/file");
  CHECK(!reply.complete);
  CHECK(client.at_end());
  CHECK(server.handler.finished_of("/file").bytes == 0);
  CHECK(server.handler.unreadable == 1);
  CHECK(seen.of("berth_storage_errors_total{driver=\"filesystem\",operation=\"read\"}") == 1);
}

TEST_CASE("a file that became shorter ends the connection in the middle of the body") {
  TestServer server;
  server.handler.file = memory_file(pattern(4 << 20));
  REQUIRE(::ftruncate(server.handler.file->fd.get(), 2 << 20) == 0);
  auto client = server.client();
  const auto reply = client.get("/file");
  CHECK(reply.status == 200);
  CHECK(!reply.complete);
  CHECK(reply.body.size() <= 2 << 20);
  CHECK(client.at_end());
  CHECK(!server.handler.finished_of("/file").complete);
  CHECK(server.handler.unreadable == 1);
}

TEST_CASE("a file that cannot be read ends the connection in the middle of the body") {
  TestServer server;
  // Reading a descriptor that was opened for writing fails as a broken disk does: late.
  auto blob = std::make_shared<storage::OpenBlob>();
  blob->fd = storage::Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  blob->size = 1000;
  server.handler.file = blob;
  auto client = server.client();
  const auto reply = client.get("/file");
  CHECK(!reply.complete);
  CHECK(client.at_end());
}

TEST_CASE("a client that goes away in the middle is no error") {
  TestServer server;
  server.handler.file = memory_file(pattern(30 << 20));
  {
    auto client = server.client();  // In the body it sends.
    client.send("PUT /echo/gone HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
    std::this_thread::sleep_for(20ms);
    client.close();
    CHECK(server.handler.finished_of("/echo/gone") == Finished{"/echo/gone", api::kNoAnswer, 0, false, 3});
  }
  {
    auto client = server.client();  // In the body it reads.
    client.send("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    std::this_thread::sleep_for(20ms);
    client.reset();
    CHECK(!server.handler.finished_of("/file").complete);
  }
  {
    auto client = server.client();  // In a head.
    client.send("GET /hel");
    client.reset();
  }
  { auto client = server.client(); }  // Before it.
  CHECK(server.wait_for_connections(0));
}

TEST_CASE("what came of a body before the client went away is handed on") {
  TestServer server;
  auto client = server.client();
  client.send("PUT /one HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  std::this_thread::sleep_for(20ms);
  client.send(std::string(1234, 'x'));
  client.shutdown_write();
  CHECK(client.read_reply().body == "1234");
}

TEST_CASE("the interrupter ends a wait for the body, from any thread, and only of its own request") {
  TestServer server;
  auto client = server.client();
  client.send("PUT /interrupt HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
  CHECK(client.at_end());
  CHECK(server.handler.finished_of("/interrupt").status == api::kNoAnswer);
  CHECK(server.handler.last_error);
  // One that fires when its request is over and the next is on its way.
  auto next = server.client();
  CHECK(next.get("/late").body == "early");
  next.send("GET /hello HTTP/1.1\r\n");
  std::this_thread::sleep_for(100ms);
  CHECK(next.exchange("Host: a\r\n\r\n").body == "hello");
  // And one that fires when the connection is over too.
  auto other = server.client();
  other.send("PUT /interrupt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  CHECK(other.at_end());
  std::this_thread::sleep_for(150ms);
  CHECK(server.client().get("/hello").status == 200);
}

TEST_CASE("a body waits for memory when the budget is spent, and slow ones hold none of it") {
  TestServer server({}, 300 << 10);
  std::vector<Client> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(server.client());
    slow.back().send("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
  }
  for (int i = 0; i < 200 && server.handler.running < 20; ++i) std::this_thread::sleep_for(5ms);
  const auto body = pattern(2'000'000);
  std::atomic<int> right{0};
  std::vector<std::thread> fast;
  for (int i = 0; i < 4; ++i) {
    fast.emplace_back([&] {
      auto client = server.client();
      client.send(fmt::format("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.size()) + body);
      if (client.read_reply().body == body) ++right;
    });
  }
  for (auto& thread : fast) thread.join();
  CHECK(right == 4);
  CHECK(server.buffers.in_use_bytes() == 0);
}

TEST_CASE("who logs in does not wait with uploads for memory, and a cut ends the wait of those") {
  ServerOptions options;
  options.drain_timeout = 0s;
  TestServer server(options, 4 << 20);
  std::vector<registry::Buffer> held;
  for (int i = 0; i < 15; ++i) held.push_back(server.buffers.acquire_now(256 << 10));
  auto upload = server.client();
  upload.send("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + pattern(200'000));
  for (int i = 0; i < 200 && server.buffers.waiting() < 1; ++i) std::this_thread::sleep_for(5ms);
  CHECK(server.buffers.waiting() == 1);
  auto login = server.client();
  login.send("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
  CHECK(login.read_reply().body == "abc");

  const auto begun = std::chrono::steady_clock::now();
  server.server->stop();
  CHECK(std::chrono::steady_clock::now() - begun < 5s);
  CHECK(server.buffers.waiting() == 0);
  CHECK(server.handler.finished_of("/echo").status == 200);
}

/// Asks somebody and answers without waiting for it, as when the keys of an issuer are fetched for all who come.
class AskingHandler final : public api::Handler {
 public:
  std::shared_ptr<Completion<int>> asked;

  asio::awaitable<api::Response> handle(api::Request&) override {
    asio::co_spawn(co_await asio::this_coro::executor, ask(), asio::detached);
    co_return api::text_response(200, "asked", "text/plain");
  }
  void finished(const api::Request&, const api::Response&, const api::Outcome&) override {}

 private:
  asio::awaitable<void> ask() {
    auto start = [this](std::shared_ptr<Completion<int>> waiting) { asked = std::move(waiting); };
    ignore(co_await completion_of<int>(std::move(start)));
  }
};

TEST_CASE("after a stop that was forced an answer may come that no connection waits for") {
  AskingHandler handler;
  registry::BufferPool buffers(1 << 20);
  Pool disk("disk", 1);
  SystemEntropy entropy;
  Tls tls({std::nullopt});
  MemoryBudget memory(1 << 20);
  ServerOptions options;
  options.listeners = {ListenerOptions{}};
  const Environment environment{options, handler, buffers, disk, tls, entropy, memory};
  std::atomic<std::int64_t> heartbeat{0};
  Heartbeats heartbeats(1, heartbeat);
  auto thread = std::make_unique<IoThread>(0, environment, heartbeats);
  thread->start();
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Descriptor client(ends[1]);
  Accepted accepted;
  accepted.descriptor = Descriptor(ends[0]);
  accepted.family = AF_UNIX;
  accepted.local_uid = ::getuid();
  thread->adopt(std::move(accepted));
  const std::string_view request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  REQUIRE(::write(client.get(), request.data(), request.size()) == static_cast<ssize_t>(request.size()));
  std::string answer;
  char piece[1024];
  for (ssize_t size = 0; (size = ::read(client.get(), piece, sizeof piece)) > 0;) {
    answer.append(piece, static_cast<std::size_t>(size));
  }
  CHECK(answer.ends_with("asked"));

  thread->stop(false);
  thread.reset();
  REQUIRE(handler.asked);
  handler.asked->complete(1);
  handler.asked.reset();
}

}  // namespace berth::server
