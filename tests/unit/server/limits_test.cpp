// Deadlines, caps and the end of the server.
#include <spdlog/sinks/ostream_sink.h>

#include <sys/resource.h>

#include <fstream>
#include <sstream>

#include "test_server.h"

namespace berth::server {
namespace {

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_CASE("slow heads, slow bodies, stalled readers and idle connections are let go; good clients notice nothing") {
  ServerOptions options;
  options.header_timeout = 1s;
  options.idle_timeout = 2s;
  options.rate_window = 1s;
  options.rate_bytes = 1000;
  TestServer server(options);
  const auto content = pattern(12 << 20);
  server.handler.file = memory_file(content);

  auto silent = server.client();
  auto half_head = server.client();
  half_head.send("GET /hello HTTP/1.1\r\nHo");
  auto half_second_head = server.client();
  CHECK(half_second_head.get("/hello").status == 200);
  half_second_head.send("GET /hello HTTP/1.1\r\nHo");
  auto slow_body = server.client();
  slow_body.send("PUT /echo/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
  auto slow_chunk = server.client();
  slow_chunk.send("PUT /echo/chunk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc");
  Client stalled(server.port, 8 << 10);
  stalled.send("GET /file/stalled HTTP/1.1\r\nHost: a\r\n\r\n");
  auto idle = server.client();
  CHECK(idle.get("/hello").status == 200);
  // These move enough: a body of 3,000 bytes a second that stays below what one wait gathers, and a reader of 20,000
  // whose kernel reports room only after megabytes.
  auto steady_body = server.client();
  steady_body.send("PUT /echo/steady HTTP/1.1\r\nHost: a\r\nContent-Length: 10500\r\n\r\n");
  Client steady_reader(server.port, 4 << 10);
  steady_reader.send("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
  // The server's own time is not held against the client.
  auto waiting = server.client();
  waiting.send("GET /wait/2500 HTTP/1.1\r\nHost: a\r\n\r\n");
  auto busy = server.client();

  for (int i = 0; i < 35; ++i) {
    CHECK(steady_body.send(std::string(300, 'x')));
    slow_body.send("x");
    CHECK(busy.get("/hello").body == "hello");
    CHECK(steady_reader.read_more(2000));
    std::this_thread::sleep_for(100ms);
  }
  CHECK(steady_body.read_reply().body.size() == 10'500);
  const auto whole = steady_reader.read_reply();
  CHECK(whole.complete);
  CHECK((whole.body == content));
  CHECK(waiting.read_reply().body == "waited");
  CHECK(waiting.get("/hello").body == "hello");
  CHECK(silent.at_end());
  CHECK(half_head.read_reply().status == 408);
  CHECK(half_head.at_end());
  CHECK(half_second_head.read_reply().status == 408);
  CHECK(slow_body.read_reply().status == 408);
  CHECK(slow_chunk.read_reply().status == 408);
  CHECK(slow_chunk.at_end());
  CHECK(server.handler.finished_of("/file/stalled").status == 200);
  CHECK(!server.handler.finished_of("/file/stalled").complete);
  CHECK(idle.at_end());
  CHECK(server.wait_for_connections(4));  // The good ones.
}

TEST_CASE("stop lets running requests finish, closes idle connections and accepts nobody") {
  TestServer server;
  auto idle = server.client();
  CHECK(idle.get("/hello").status == 200);
  auto fresh = server.client();
  auto running = server.client();
  running.send("GET /wait/600 HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(eventually([&] { return server.handler.running == 1 && server.server->connections() == 3; }));
  std::thread stopper([&] { server.server->stop(); });
  CHECK(idle.at_end());
  CHECK(fresh.at_end());
  CHECK(eventually([&] { return !Client(server.port).connected(); }));
  const auto reply = running.read_reply();
  CHECK(reply.body == "waited");
  CHECK(reply.closes());
  CHECK(running.at_end());
  stopper.join();
  CHECK(server.server->connections() == 0);
  server.server->stop();  // Again, for nothing.
}

TEST_CASE("stop cuts what does not finish in time") {
  ServerOptions options;
  options.drain_timeout = 0s;
  TestServer server(options);
  server.handler.file = memory_file(pattern(64 << 20));
  auto uploading = server.client();
  uploading.send("PUT /echo/cut HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
  auto downloading = server.client();
  downloading.send("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(eventually([&] { return server.handler.running == 1; }));
  const auto begun = std::chrono::steady_clock::now();
  server.server->stop();
  CHECK(std::chrono::steady_clock::now() - begun < 5s);
  CHECK(uploading.at_end());
  CHECK(server.handler.finished_of("/echo/cut").status == api::kNoAnswer);
  CHECK(!server.handler.finished_of("/file").complete);
}

TEST_CASE("the cap on connections closes the oldest idle ones, then turns clients away") {
  ServerOptions options;
  options.connections_max = 4;
  TestServer server(options);
  std::vector<Client> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(server.client());
    CHECK(clients.back().get("/hello").status == 200);
  }
  auto newcomer = server.client();
  CHECK(newcomer.get("/hello").status == 200);
  int closed = 0;
  for (auto& client : clients) closed += client.quiet_for(10ms) ? 0 : 1;
  CHECK(closed == 1);

  // All busy: there is no room to make.
  clients.clear();
  newcomer.close();
  CHECK(server.wait_for_connections(0));
  for (int i = 0; i < 4; ++i) {
    clients.push_back(server.client());
    clients.back().send("GET /wait/700 HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  CHECK(eventually([&] { return server.handler.running == 4; }));
  auto refused = server.client();
  const auto reply = refused.read_reply();
  CHECK(reply.status == 503);
  CHECK(reply.field("Retry-After") == "1");
  CHECK(reply.body.find("UNAVAILABLE") != reply.body.npos);
  CHECK(refused.at_end());
  for (auto& client : clients) CHECK(client.read_reply().body == "waited");
}

TEST_CASE("at the cap, whoever has not asked for anything yet makes room for others, the oldest first") {
  ServerOptions options;
  options.connections_max = 4;
  options.io_threads = 1;
  TestServer server(options);
  std::vector<Client> stalled;
  for (int i = 0; i < 4; ++i) {
    stalled.push_back(server.client());
    stalled.back().send("GET / HTTP/1.1\r\nX: ");
    std::this_thread::sleep_for(10ms);
  }
  std::vector<Client> busy;
  for (std::size_t i = 0; i < 3; ++i) {
    busy.push_back(server.client());
    busy.back().send("GET /wait/700 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(eventually([&] { return server.handler.running == static_cast<int>(i) + 1; }));
    CHECK(stalled[i].at_end());
  }
  CHECK(stalled[3].quiet_for(10ms));
  for (auto& client : busy) CHECK(client.read_reply().body == "waited");
}

TEST_CASE("answers that are read slowly hold no more memory together than the settings say") {
  ServerOptions options;
  options.memory_bytes_max = 49 << 20;  // three of them
  TestServer server(options);
  server.handler.memory = std::make_shared<const std::string>(pattern(16 << 20));  // more than sockets hold
  std::vector<Client> slow;
  for (int i = 0; i < 2; ++i) {
    slow.emplace_back(server.port, 4096);
    slow.back().send("GET /memory HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  CHECK(eventually([&] { return server.handler.answered == 2; }));
  auto client = server.client();
  CHECK(client.get("/memory").body == *server.handler.memory);  // a third fits
  slow.emplace_back(server.port, 4096);
  slow.back().send("GET /memory HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(eventually([&] { return server.handler.answered == 4; }));
  const auto refused = server.client().get("/memory");
  CHECK(refused.status == 503);
  CHECK(refused.field("Retry-After") == "1");
  CHECK(server.client().get("/hello").status == 200);  // what is small always fits
  // A file is in nobody's memory.
  server.handler.file = memory_file(pattern(1 << 20));
  CHECK(server.client().get("/file").status == 200);
  slow.pop_back();
  CHECK(eventually([&] { return server.client().get("/memory").status == 200; }));
}

TEST_CASE("long heads hold no more memory together than the settings say") {
  ServerOptions options;
  options.memory_bytes_max = 32 << 10;
  TestServer server(options);
  std::vector<Client> stalled;
  for (int i = 0; i < 2; ++i) {
    stalled.push_back(server.client());
    stalled.back().send("GET / HTTP/1.1\r\nX: " + std::string(15'000, 'x'));
  }
  std::this_thread::sleep_for(50ms);
  auto client = server.client();
  const std::string head = "GET /hello HTTP/1.1\r\nHost: a\r\nX: " + std::string(15'000, 'x') + "\r\n\r\n";
  client.send(head);
  CHECK(client.read_reply().status == 503);
  CHECK(server.client().get("/hello").status == 200);
  stalled.clear();
  CHECK(eventually([&] {
    auto again = server.client();
    again.send(head);
    return again.read_reply().status == 200;
  }));
}

TEST_CASE("what is sent ahead behind a chunked body counts as well") {
  ServerOptions options;
  options.memory_bytes_max = 64 << 10;
  TestServer server(options);
  const std::string post = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  const std::string get = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
  auto few = server.client();
  few.send(post + get + get);
  CHECK(few.read_reply().body == "abc");
  const auto hello = few.read_reply();
  CHECK(hello.body == "hello");
  CHECK_FALSE(hello.closes());
  CHECK(few.read_reply().body == "hello");

  std::string many;
  while (many.size() < 200'000) many += get;
  auto flood = server.client();
  // The head alone first, so that all the rest comes behind it in one piece.
  flood.send(post.substr(0, post.find("3\r\nabc")));
  std::this_thread::sleep_for(20ms);
  flood.send(post.substr(post.find("3\r\nabc")) + many);
  const auto reply = flood.read_reply();
  CHECK(reply.body == "abc");
  CHECK(reply.closes());
}

TEST_CASE("a client behind a trusted proxy is told by the proxy, and by nobody else") {
  struct Row {
    const char* trusted;
    const char* forwarded;
    const char* seen;
  };
  const auto row = GENERATE(values<Row>({
      {"127.0.0.0/8", "X-Forwarded-For: 192.0.2.7\r\n", "via 127.0.0.1\n192.0.2.7 -"},
      {"127.0.0.1", "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n", "via 127.0.0.1\n192.0.2.7 -"},  // the first is a lie
      {"127.0.0.0/8", "X-Forwarded-For: 192.0.2.7, 127.0.0.9\r\n", "via 127.0.0.1\n192.0.2.7 -"},
      {"127.0.0.0/8", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 127.0.0.9\r\n", "via 127.0.0.1\n192.0.2.7 -"},
      {"127.0.0.0/8", "X-Forwarded-For: [2001:db8::7]:4711\r\n", "via 127.0.0.1\n2001:db8::7 -"},
      {"127.0.0.0/8", "X-Forwarded-For: 192.0.2.7:4711\r\n", "via 127.0.0.1\n192.0.2.7 -"},
      {"127.0.0.0/8", "X-Forwarded-For: unknown, 127.0.0.9\r\n", "via 127.0.0.1\n127.0.0.9 -"},
      {"127.0.0.0/8", "X-Forwarded-For: \r\n", "\n127.0.0.1 -"},
      {"127.0.0.0/8", "", "\n127.0.0.1 -"},
      {"10.0.0.0/8", "X-Forwarded-For: 192.0.2.7\r\n", "\n127.0.0.1 -"},
  }));
  CAPTURE(row.trusted, row.forwarded);
  ServerOptions options;
  options.listeners = {ListenerOptions{.port = 0}};
  options.listeners.front().trusted_proxies = TrustedProxies({IpNetwork::parse(row.trusted).value()});
  TestServer server(options);
  auto client = server.client();
  client.send(std::string("GET /head HTTP/1.1\r\nHost: a\r\n") + row.forwarded + "\r\n");
  const auto reply = client.read_reply();
  CHECK(reply.body.ends_with(row.seen));
}

TEST_CASE("without descriptors the server turns clients away, makes room, and recovers") {
  TestServer server;
  auto idle = server.client();
  CHECK(idle.get("/hello").status == 200);
  auto busy = server.client();
  busy.send("GET /wait/300 HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(eventually([&] { return server.handler.running == 1; }));

  Client turned_away;
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit before = limit;
  // Every number below is taken once the gaps are filled, so that accepting needs one above.
  std::vector<Descriptor> gaps;
  for (;;) {
    Descriptor gap(::dup(0));
    REQUIRE(gap);
    const int number = gap.get();
    gaps.push_back(std::move(gap));
    if (number > turned_away.descriptor() + 8) {
      limit.rlim_cur = static_cast<rlim_t>(number) + 1;
      break;
    }
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  turned_away.connect(server.port);
  CHECK(turned_away.read_reply().status == 503);
  CHECK(idle.at_end());
  CHECK(busy.read_reply().body == "waited");
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  gaps.clear();
  CHECK(server.client().get("/hello").status == 200);
}

TEST_CASE("loopback is exempt from the cap on each address") {
  ServerOptions options;
  options.connections_per_address_max = 1;
  TestServer server(options);
  auto one = server.client();
  auto two = server.client();
  CHECK(one.get("/hello").status == 200);
  CHECK(two.get("/hello").status == 200);
}

TEST_CASE("listeners say which of them a request came through") {
  ServerOptions options;
  options.listeners = {{"127.0.0.1", 0, true}, {"localhost", 0, false}};
  TestServer server(options);
  const auto ports = server.server->ports();
  REQUIRE(ports.size() == 2);
  CHECK(Client(ports[0]).get("/hello").status == 200);
  CHECK(server.handler.loopback_seen);
  CHECK(Client(ports[1]).get("/hello").status == 200);
  CHECK(!server.handler.loopback_seen);
}

TEST_CASE("the wildcard of IPv6 serves IPv4 too, and shows its addresses as such") {
  ServerOptions options;
  options.listeners = {{"::", 0, false}};
  TestHandler handler;
  registry::BufferPool buffers(1 << 20);
  Pool disk("disk", 1);
  SystemEntropy entropy;
  std::atomic<std::int64_t> heartbeat{0};
  const auto server = make_server(options, handler, buffers, disk, entropy, heartbeat);
  if (const auto started = server->start(); !started) {
    WARN("this machine has no IPv6: " << started.error().message);
    return;
  }
  Client client(server->ports().front());
  CHECK(client.get("/head").body.find("\n127.0.0.1 ") != std::string::npos);
  server->stop();
}

TEST_CASE("an address that is taken, or is none of ours, is a sentence") {
  TestServer server;
  const auto start = [&](const std::string& address, std::uint16_t port) {
    ServerOptions options;
    options.listeners = {{address, port, true}};
    const auto other = make_server(options, server.handler, server.buffers, server.disk, server.entropy, server.heartbeat);
    return other->start();
  };
  const auto taken = start("127.0.0.1", server.port);
  REQUIRE(taken.failed_with(ErrorCode::unavailable));
  CHECK(taken.error().message == fmt::format("cannot listen on 127.0.0.1:{}: Address already in use; stop the program that "
                                             "has it, or choose another port with --listen",
                                             server.port));
  const auto foreign = start("192.0.2.1", 0);
  REQUIRE(foreign.failed_with(ErrorCode::unavailable));
  CHECK(foreign.error().message.starts_with("cannot listen on 192.0.2.1:0: "));
}

TEST_CASE("each thread ticks and tells that it lives") {
  ServerOptions options;
  std::atomic<int> ticks{0};
  options.on_tick = [&ticks] { ++ticks; };
  TestServer server(options);
  const auto first = server.heartbeat.load();
  CHECK(first > 0);
  CHECK(eventually([&] { return ticks >= 2 && server.heartbeat > first; }));
}

TEST_CASE("a thousand idle connections cost little and are served when they speak") {
  TestServer server;
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) CHECK(server.client().get("/hello").status == 200);
  const auto before = resident_bytes();
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(server.client());
    REQUIRE(clients.back().get("/hello").status == 200);
  }
  const auto added = resident_bytes() - before;
  INFO("bytes for each idle connection, its client included: " << added / 1000);
#ifndef BERTH_SANITIZED
  CHECK(added < 1000 * (8 << 10));
#endif
  CHECK(server.server->connections() == 1000);
  for (auto& client : clients) CHECK(client.get("/hello").status == 200);
}

TEST_CASE("clients that vanish leave nothing at the levels that people watch") {
  TestServer server;
  std::ostringstream log;
  auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log));
  logger->set_level(spdlog::level::info);
  const auto previous = spdlog::default_logger();
  spdlog::set_default_logger(logger);
  server.handler.file = memory_file(pattern(16 << 20));
  for (int i = 0; i < 20; ++i) {
    auto reader = server.client();
    reader.send("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    auto sender = server.client();
    sender.send("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    auto beginner = server.client();
    beginner.send("GET /");
    reader.reset();
    sender.reset();
    beginner.reset();
  }
  CHECK(server.wait_for_connections(0));
  server.server->stop();
  spdlog::set_default_logger(previous);
  CHECK(log.str().empty());
}

}  // namespace berth::server
