#include "base/http_client.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>

#include "tests/support/http_peer.h"
#include "tests/support/kept_spans.h"
#include "tests/support/run_task.h"
#include "tests/support/seeded_entropy.h"
#include "tests/support/test_authority.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

PeerReply hello(const PeerRequest&) { return {.body = "hello"}; }

HttpRequest to(const HttpPeer& peer, const std::string& path = "/") {
  return {.url = peer.url(path), .allow_http = true, .reach = Reach::anywhere};
}

bool eventually(const std::function<bool()>& holds) {
  for (const auto end = Steady::now() + 5s; Steady::now() < end; std::this_thread::sleep_for(2ms))
    if (holds()) return true;
  return holds();
}

}  // namespace

TEST_CASE("the HTTP client sends what it is given and gives back what comes") {
  HttpPeer peer([](const PeerRequest& request) {
    return PeerReply{.status = 201, .body = request.body + "!", .headers = "X-Some: a \r\nX-SOME: b\r\nEmpty:\r\n"};
  });
  HttpClient client;
  auto request = to(peer, "/path?query=1");
  request.headers = {{"Authorization", "Bearer x"}, {"X-Empty", ""}};
  request.body = std::string(3 << 20, 'b');
  request.response_bytes_max = 4 << 20;
  const auto answer = run_task(client.post(request));
  REQUIRE(answer);
  CHECK(answer->status == 201);
  CHECK(answer->body == request.body + "!");
  CHECK(answer->header("x-some") == "a");
  CHECK(answer->header("empty").empty());
  CHECK(answer->header("x-other").empty());
  request.body.clear();
  CHECK(run_task(client.get(request))->body == "!");
  const auto seen = peer.requests();
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].method == "POST");
  CHECK(seen[0].target == "/path?query=1");
  CHECK(seen[1].method == "GET");
  CHECK(seen[1].head.find("Authorization: Bearer x\r\n") != std::string::npos);
  CHECK(seen[1].head.find("X-Empty:") != std::string::npos);
  CHECK(seen[1].head.find("User-Agent: berth\r\n") != std::string::npos);
  CHECK(seen[1].head.find("Accept-Encoding") == std::string::npos);
  CHECK(peer.connections() == 1);  // kept
  CHECK(client.in_flight() == 0);
}

TEST_CASE("what the HTTP client does not send") {
  HttpPeer peer(hello);
  HttpClient client;
  struct Row {
    const char* name;
    std::function<void(HttpRequest&)> change;
  };
  const Row rows[] = {
      {"http when only https is allowed", [](auto& r) { r.allow_http = false; }},
      {"another scheme", [](auto& r) { r.url = "file:///etc/passwd"; }},
      {"no scheme", [](auto& r) { r.url = "127.0.0.1/"; }},
      {"no URL", [](auto& r) { r.url.clear(); }},
      {"a URL without host", [](auto& r) { r.url = "http://"; }},
      {"a user name in the URL", [](auto& r) { r.url.insert(7, "me:secret@"); }},
      {"a line end in the URL", [](auto& r) { r.url += "\r\nX: y"; }},
      {"a line end in a header", [](auto& r) { r.headers = {{"A", "b\r\nC: d"}}; }},
      {"a header name with a colon", [](auto& r) { r.headers = {{"A: b", "c"}}; }},
      {"a header without name", [](auto& r) { r.headers = {{"", "c"}}; }},
      {"another method", [](auto& r) { r.method = "DELETE"; }},
      {"a GET with a body", [](auto& r) { r.body = "x"; }},
      {"no time", [](auto& r) { r.timeout = 0ms; }},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    auto request = to(peer);
    row.change(request);
    const auto answer = run_task(client.send(request));
    CHECK(answer.failed_with(ErrorCode::request_invalid));
  }
  CHECK(peer.connections() == 0);
  CHECK(run_task(client.send(to(peer))));  // the row without a change goes through
}

TEST_CASE("the HTTP client goes no further than it may") {
  HttpPeer peer(hello);
  HttpClient client;
  auto request = to(peer);
  SECTION("to a literal address") {
    request.reach = Reach::internet;
    CHECK(run_task(client.send(request)).failed_with(ErrorCode::denied));
    CHECK(peer.connections() == 0);
  }
  SECTION("to a name that resolves to this machine") {
    request.url = "http://localhost:" + std::to_string(peer.port());
    request.reach = Reach::internet;
    CHECK(run_task(client.send(request)).failed_with(ErrorCode::denied));
    CHECK(peer.connections() == 0);
  }
  SECTION("in other spellings") {
    const auto port = ":" + std::to_string(peer.port());
    for (const std::string host : {"127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "0"}) {
      INFO(host);
      request.url = "http://" + host + port;
      request.reach = Reach::internet;
      CHECK(run_task(client.send(request)).failed_with(ErrorCode::denied));
    }
    CHECK(peer.connections() == 0);
  }
  SECTION("over a connection that another request left open") {
    CHECK(run_task(client.send(request)));
    request.reach = Reach::internet;
    CHECK(run_task(client.send(request)).failed_with(ErrorCode::denied));
    CHECK(peer.requests().size() == 1);
  }
  SECTION("to link-local addresses with the reach of a private network") {
    request.reach = Reach::private_network;
    CHECK(run_task(client.send(request)));
    request.url = "http://169.254.169.254/latest/meta-data";
    CHECK(run_task(client.send(request)).failed_with(ErrorCode::denied));
  }
  SECTION("through a redirect") {
    HttpPeer redirecting([](const PeerRequest&) {
      return PeerReply{.status = 302, .headers = "Location: http://169.254.169.254/\r\n"};
    });
    request.url = redirecting.url();
    request.reach = Reach::private_network;
    request.redirects_max = 3;
    CHECK(run_task(client.send(request)).failed_with(ErrorCode::denied));
  }
  SECTION("through a proxy of the environment") {
    HttpPeer proxy(hello);
    ::setenv("http_proxy", proxy.url().c_str(), 1);
    request.url = "http://169.254.169.254/";
    request.reach = Reach::private_network;  // the proxy itself could be reached
    CHECK(run_task(client.send(request)).failed_with(ErrorCode::denied));
    ::unsetenv("http_proxy");
    CHECK(proxy.connections() == 0);
  }
}

TEST_CASE("the HTTP client follows redirects when asked") {
  HttpPeer there([](const PeerRequest&) { return PeerReply{.body = "there", .headers = "B: 2\r\n"}; });
  HttpPeer here([&](const PeerRequest& request) {
    if (request.target == "/round") return PeerReply{.status = 302, .headers = "Location: /round\r\n"};
    if (request.target == "/file") return PeerReply{.status = 302, .headers = "Location: file:///etc/passwd\r\n"};
    return PeerReply{.status = 302,
                     .body = "moved",
                     .headers = "A: 1\r\nLocation: http://localhost:" + std::to_string(there.port()) + "/\r\n"};
  });
  HttpClient client;
  auto request = to(here);
  request.headers = {{"Authorization", "Bearer secret"}};
  const auto not_followed = run_task(client.send(request));
  CHECK(not_followed->status == 302);
  CHECK(not_followed->body == "moved");
  request.redirects_max = 2;
  const auto followed = run_task(client.send(request));
  REQUIRE(followed);
  CHECK(followed->body == "there");
  CHECK(followed->header("a").empty());
  CHECK(followed->header("b") == "2");
  CHECK(there.requests().at(0).head.find("secret") == std::string::npos);
  request.url = here.url("/round");
  CHECK(run_task(client.send(request)).failed_with(ErrorCode::unavailable));
  request.url = here.url("/file");
  CHECK_FALSE(run_task(client.send(request)).has_value());
}

TEST_CASE("the HTTP client over TLS") {
  const TestAuthority authority;
  const TestAuthority other;
  HttpPeer peer(hello, &authority);
  HttpClient client;
  auto request = to(peer);
  request.allow_http = false;
  CHECK(run_task(client.send(request)).failed_with(ErrorCode::unavailable));  // a root that nobody named
  request.ca_file = other.root();
  CHECK(run_task(client.send(request)).failed_with(ErrorCode::unavailable));
  request.ca_file = "/nonexistent";
  CHECK(run_task(client.send(request)).failed_with(ErrorCode::unavailable));
  CHECK(peer.requests().empty());
  request.ca_file = authority.root();
  const auto answer = run_task(client.send(request));
  REQUIRE(answer);
  CHECK(answer->body == "hello");
  request.ca_file.clear();  // the connection that was kept belongs to the root it was trusted with
  CHECK(run_task(client.send(request)).failed_with(ErrorCode::unavailable));
  request.ca_file = authority.root();
  request.url = "https://127.0.0.2:" + std::to_string(peer.port());  // not in the certificate
  CHECK_FALSE(run_task(client.send(request)).has_value());
  CHECK(peer.requests().size() == 1);
  // A redirect does not lead out of TLS.
  HttpPeer plain(hello);
  HttpPeer redirecting(
      [&](const PeerRequest&) { return PeerReply{.status = 302, .headers = "Location: " + plain.url() + "\r\n"}; },
      &authority);
  request.url = redirecting.url();
  request.redirects_max = 3;
  CHECK_FALSE(run_task(client.send(request)).has_value());
  CHECK(plain.connections() == 0);
}

TEST_CASE("answers that are too large, too slow or none") {
  HttpPeer peer([](const PeerRequest& request) -> PeerReply {
    if (request.target == "/exact") return {.body = std::string(1000, 'x')};
    if (request.target == "/large") return {.body = std::string(1001, 'x')};
    if (request.target == "/endless") return {.body = std::string(65536, 'x'), .never_end = true};
    if (request.target == "/headers")
      return {.headers = "X: " + std::string(60000, 'x') + "\r\nY: " + std::string(9000, 'y') + "\r\n"};
    if (request.target == "/slow") return {.delay = 30s};
    if (request.target == "/garbage") return {.headers = "\r\n\r\nHTTP/9 x"};
    return {.close_early = true};
  });
  HttpClient client;
  struct Row {
    const char* path;
    const char* message;
  };
  const Row rows[] = {{"/large", "the answer is too large"},
                      {"/endless", "the answer is too large"},
                      {"/headers", "the answer is too large"},
                      {"/slow", "no answer in time"},
                      {"/closes", "no answer"}};
  for (const auto& row : rows) {
    INFO(row.path);
    auto request = to(peer, row.path);
    request.response_bytes_max = 1000;
    request.timeout = 300ms;
    if (row.path == std::string_view("/endless")) request.timeout = 10s;
    const auto began = Steady::now();
    const auto answer = run_task(client.send(request));
    CHECK(Steady::now() - began < 5s);
    REQUIRE(answer.failed_with(ErrorCode::unavailable));
    CHECK(answer.error().message == row.message);
    CHECK(answer.error().log_detail.find(peer.url(row.path)) != std::string::npos);
  }
  auto exact = to(peer, "/exact");
  exact.response_bytes_max = 1000;
  CHECK(run_task(client.send(exact))->body.size() == 1000);
  HttpRequest nobody{
      .url = "http://127.0.0.1:" + std::to_string(closed_port()), .allow_http = true, .reach = Reach::anywhere};
  CHECK(run_task(client.send(nobody)).failed_with(ErrorCode::unavailable));
  nobody.url = "http://name.invalid/";
  CHECK(run_task(client.send(nobody)).failed_with(ErrorCode::unavailable));
}

namespace {

struct Many {
  std::atomic<int> refused{0};
  std::atomic<int> aborted{0};
  std::atomic<int> good{0};
  auto counter() {
    return [this](const std::exception_ptr&, const Result<HttpResponse>& answer) {
      if (answer) ++good;
      if (answer.failed_with(ErrorCode::unavailable)) ++refused;
      if (answer.failed_with(ErrorCode::aborted)) ++aborted;
    };
  }
};

}  // namespace

TEST_CASE("the HTTP client bounds what is in flight, and its end answers it") {
  HttpPeer peer([](const PeerRequest&) { return PeerReply{.delay = 30s}; });
  auto client = std::make_unique<HttpClient>(HttpClient::Options{.in_flight_max = 3});
  asio::io_context context(1);
  Many many;
  for (int i = 0; i < 5; ++i) asio::co_spawn(context, client->send(to(peer)), many.counter());
  std::thread runner([&context] { context.run(); });
  CHECK(eventually([&] { return many.refused == 2 && peer.requests().size() == 3; }));
  CHECK(client->in_flight() == 3);
  const auto began = Steady::now();
  client.reset();
  runner.join();
  CHECK(Steady::now() - began < 3s);
  CHECK(many.aborted == 3);
  CHECK(many.good == 0);
}

TEST_CASE("a cancelled request ends at once and frees its place") {
  HttpPeer peer(
      [](const PeerRequest& request) { return PeerReply{.body = "x", .delay = request.target == "/slow" ? 30s : 0s}; });
  HttpClient client(HttpClient::Options{.in_flight_max = 1});
  asio::io_context context(1);
  Many many;
  asio::cancellation_signal signal;
  auto handler = asio::bind_cancellation_slot(signal.slot(), many.counter());
  asio::co_spawn(context, client.send(to(peer, "/slow")), handler);
  asio::steady_timer timer(context, 100ms);
  timer.async_wait([&signal](boost::system::error_code) { signal.emit(asio::cancellation_type::terminal); });
  const auto began = Steady::now();
  context.run();
  CHECK(Steady::now() - began < 3s);
  CHECK(many.good + many.refused == 0);
  CHECK(eventually([&] { return client.in_flight() == 0; }));
  CHECK(run_task(client.send(to(peer)))->body == "x");
}

TEST_CASE("what is asked for a request is told in its trace, and the other side hears of it") {
  HttpPeer peer([](const PeerRequest& request) { return PeerReply{.status = request.target == "/no" ? 404u : 200u}; });
  HttpClient client;
  test::SeededEntropy entropy(3);
  test::KeptSpans kept;
  const auto header = [&peer](const std::string& name) {
    const std::string head = peer.requests().back().head;
    const std::size_t at = head.find("\r\n" + name + ": ");
    return at == head.npos ? "" : head.substr(at + name.size() + 4, head.find("\r\n", at + 2) - at - name.size() - 4);
  };
  struct Row {
    const char* name;
    double ratio;
    std::string url;
    const char* error;  ///< "-": none
    const char* status;
    bool arrives = true;
  };
  const auto nobody = "http://127.0.0.1:" + std::to_string(closed_port()) + "/gone";
  const std::vector<Row> rows = {{"good", 1, peer.url("/keys?secret=1"), "-", "200"},
                                 {"an answer that is none", 1, peer.url("/no"), "404", "404"},
                                 {"nobody there", 1, nobody, "unavailable", "-", false},
                                 {"not sampled", 0, peer.url("/keys"), "-", "-"}};
  for (const Row& row : rows) {
    INFO(row.name);
    const trace::Tracer tracer({.ratio = row.ratio}, entropy, kept);
    trace::Span span = tracer.begin(std::nullopt, "");
    const auto here = *span.below().context();
    const std::size_t before = kept.size();
    HttpRequest request{.url = row.url, .allow_http = true, .reach = Reach::anywhere, .trace = span.below()};
    ignore(run_task(client.send(request)));
    const std::string sent = row.arrives ? header("traceparent") : "";
    if (row.ratio == 0) {
      CHECK(kept.size() == before);
      CHECK(sent == format_traceparent(here));
      continue;
    }
    REQUIRE(kept.size() == before + 1);
    const auto& told = kept.at(before);
    CHECK(told.name == "GET");
    CHECK(told.kind == trace::Kind::client);
    CHECK(told.parent_id == here.parent_id);
    if (row.arrives)
      CHECK(sent == format_traceparent({.trace_id = here.trace_id, .parent_id = told.span_id, .sampled = true}));
    CHECK(test::said(told, "url.full") == row.url.substr(0, row.url.find('?')));
    CHECK(test::said(told, "server.address") == "127.0.0.1");
    CHECK(test::said(told, "server.port") == row.url.substr(17, row.url.find('/', 17) - 17));
    CHECK(test::said(told, "error.type") == row.error);
    CHECK(test::said(told, "http.response.status_code") == row.status);
    CHECK(told.failed == (row.error != std::string_view("-")));
  }
  ignore(run_task(client.send(to(peer))));
  CHECK(header("traceparent").empty());
}

TEST_CASE("many threads share the HTTP client") {
  HttpPeer peer([](const PeerRequest& request) { return PeerReply{.body = request.target}; });
  HttpClient client;
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const auto path = "/" + std::to_string(t) + "/" + std::to_string(i);
        const auto answer = run_task(client.send(to(peer, path)));
        if (answer && answer->body == path) ++good;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(good == 100);
}

}  // namespace berth
