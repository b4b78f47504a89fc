// TLS as clients meet it: handshakes, names, tickets, client certificates, and files that change underneath.
#include "server/tls.h"

#include <openssl/pem.h>

#include <filesystem>
#include <map>

#include "server/certificate_list.h"
#include "server/connection_metrics.h"
#include "test_server.h"
#include "tests/support/certificates.h"
#include "tests/support/scrape.h"

namespace berth::server {
namespace {

using test::Authority;
using test::Identity;
using test::TlsClientOptions;
using Ask = TlsOptions::ClientCertificates;

const std::vector<std::string> kLocal = {"DNS:localhost", "IP:127.0.0.1"};

const Authority& authority() {
  static const Authority made("berth test");
  return made;
}

const Identity& local_identity() {
  static const Identity made = authority().issue({.name = "local", .names = kLocal});
  return made;
}

struct TlsFiles {
  test::Folder folder;
  TlsOptions options;

  explicit TlsFiles(const std::vector<Identity>& identities = {local_identity()}) {
    for (std::size_t i = 0; i < identities.size(); ++i) {
      const auto number = std::to_string(i);
      options.certificates.push_back({folder.write(number + ".crt", identities[i].certificate),
                                      folder.write(number + ".key", identities[i].key)});
    }
  }
  TlsFiles& ask(Ask how, const std::string& authorities) {
    options.client_certificates = how;
    options.client_ca = folder.write("clients.crt", authorities);
    return *this;
  }
  ServerOptions server() const {
    ServerOptions made;
    made.listeners = {{"127.0.0.1", 0, true, options}};
    return made;
  }
};

TlsClientOptions trusting(TlsClientOptions options = {}) {
  options.trust = authority().certificate();
  return options;
}

}  // namespace

TEST_CASE("a request over TLS") {
  const TlsFiles files;
  TestServer server(files.server());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto client = server.client();
    REQUIRE(client.secure(trusting({.version_min = version, .version_max = version})));
    CHECK(SSL_version(client.tls().ssl()) == version);
    for (int i = 0; i < 3; ++i) CHECK(client.get("/hello").body == "hello");
    CHECK(client.get("/head").body == "GET /head\nHost=a\nsecure\n127.0.0.1 -");
  }
  auto shown = server.server->certificates();
  REQUIRE(shown.size() == 1);
  CHECK(shown[0].names == std::vector<std::string>{"localhost", "127.0.0.1"});
  CHECK(shown[0].subject == "CN=local");
  CHECK(shown[0].issuer == "CN=berth test");
  CHECK(shown[0].key == "EC prime256v1");
  CHECK(shown[0].problem.empty());
  CHECK(shown[0].not_after > shown[0].loaded);
  CHECK(server.server->handshakes().completed == 2);
}

TEST_CASE("bodies of all sizes pass over TLS in both directions") {
  const TlsFiles files;
  TestServer server(files.server());
  server.handler.file = memory_file(pattern(5'000'000));
  server.handler.memory = std::make_shared<const std::string>(pattern(3'000'000, 7));
  auto client = server.client();
  REQUIRE(client.secure(trusting()));
  for (const std::size_t size : {0UL, 1UL, 16'383UL, 16'384UL, 16'385UL, 65'536UL, 100'000UL, 3'000'000UL}) {
    INFO(size);
    const auto body = pattern(size, size);
    std::thread writer([&] {
      client.send(fmt::format("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", size) + body);
    });
    writer.join();
    CHECK((client.read_reply().body == body));
    client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, 10'000));
    CHECK((client.read_reply().body == body));
  }
  CHECK((client.get("/file").body == pattern(5'000'000)));
  CHECK((client.get("/memory").body == pattern(3'000'000, 7)));
  server.handler.file = memory_file("0123456789");
  server.handler.memory = std::make_shared<const std::string>("abcdefghij");
  CHECK(client.get("/parts").body == "<123|cdefg5678>");
}

TEST_CASE("a reader slower than the server gets every byte over TLS") {
  const TlsFiles files;
  TestServer server(files.server());
  const auto content = pattern(4'000'000);
  server.handler.file = memory_file(content);
  server.handler.memory = std::make_shared<const std::string>(content);
  for (const std::string target : {"/file", "/memory"}) {
    Client client(server.port, 4096);
    REQUIRE(client.secure(trusting()));
    client.send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
    // Far more than the buffers hold waits; then it goes on in pieces that fit no record.
    for (int i = 0; i < 20; ++i) {
      client.read_more(1'777);
      std::this_thread::sleep_for(2ms);
    }
    CHECK((client.read_reply().body == content));
  }
}

TEST_CASE("a body over TLS that trickles in and stops inside a record is waited for") {
  const TlsFiles files;
  ServerOptions options = files.server();
  TestServer server(options);
  auto client = server.client();
  REQUIRE(client.secure(trusting()));
  const auto body = pattern(70'000);
  client.send(fmt::format("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.size()));
  for (std::size_t at = 0; at < body.size(); at += 7'000) {
    client.send(std::string_view(body).substr(at, 7'000));
    std::this_thread::sleep_for(5ms);
  }
  CHECK((client.read_reply().body == body));
}

TEST_CASE("pipelined requests in one record are all answered") {
  const TlsFiles files;
  TestServer server(files.server());
  auto client = server.client();
  REQUIRE(client.secure(trusting()));
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
  client.send(requests);
  for (int i = 0; i < 100; ++i) CHECK(client.read_reply().body == "hi");
}

TEST_CASE("the ends of a TLS connection") {
  const TlsFiles files;
  TestServer server(files.server());
  SECTION("the server says goodbye") {
    auto client = server.client();
    REQUIRE(client.secure(trusting()));
    CHECK(client.get("/close").closes());
    char byte = 0;
    CHECK(client.tls().receive(&byte, 1) == 0);
  }
  SECTION("a client that says goodbye still gets its answer") {
    auto client = server.client();
    REQUIRE(client.secure(trusting()));
    client.send("GET /wait/50 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.shutdown_write();
    CHECK(client.read_reply().body == "waited");
  }
  SECTION("an answer that is cut off does not look whole") {
    server.handler.file = memory_file(pattern(300'000));
    REQUIRE(::ftruncate(server.handler.file->fd.get(), 200'000) == 0);
    auto client = server.client();
    REQUIRE(client.secure(trusting()));
    CHECK_FALSE(client.get("/file").complete);
    char byte = 0;
    CHECK(client.tls().receive(&byte, 1) < 0);
  }
  SECTION("idle connections are told when the server stops") {
    auto client = server.client();
    REQUIRE(client.secure(trusting()));
    CHECK(client.get("/hello").status == 200);
    std::this_thread::sleep_for(50ms);
    server.server->stop();
    char byte = 0;
    CHECK(client.tls().receive(&byte, 1) == 0);
  }
}

TEST_CASE("handshakes that must fail") {
  const TlsFiles files;
  TlsFiles strict;
  strict.options.only_1_3 = true;
  TestServer server(files.server()), server_1_3(strict.server());
  struct Row {
    const char* name;
    TestServer& server;
    TlsClientOptions options;
    const char* reason;
  };
  const Row rows[] = {
      {"TLS 1.1", server, {.version_max = TLS1_1_VERSION}, "protocol version"},
      {"TLS 1.0", server, {.version_max = TLS1_VERSION}, "protocol version"},
      {"TLS 1.2 where 1.3 is wanted", server_1_3, {.version_max = TLS1_2_VERSION}, "protocol version"},
      {"CBC", server, {.version_max = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES128-SHA256"}, "handshake failure"},
      {"no forward secrecy", server, {.version_max = TLS1_2_VERSION, .ciphers = "AES128-GCM-SHA256"}, "handshake failure"},
      {"another protocol", server, {.protocol = "h2"}, "no application protocol"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto before = row.server.server->handshakes().failed;
    auto client = row.server.client();
    CHECK_FALSE(client.secure(row.options));
    CHECK_THAT(client.tls().error(), Catch::Contains(row.reason));
    CHECK(row.server.wait_for_connections(0));
    CHECK(row.server.server->handshakes().failed == before + 1);
  }
  auto good = server_1_3.client();
  CHECK(good.secure(trusting({.protocol = "http/1.1"})));
  const unsigned char* protocol = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(good.tls().ssl(), &protocol, &size);
  CHECK(std::string(reinterpret_cast<const char*>(protocol), size) == "http/1.1");
}

TEST_CASE("the certificate is the one of the name that was asked for") {
  const TlsFiles files({authority().issue({.name = "first", .names = {"DNS:one.example.com", "DNS:localhost"}}),
                        authority().issue({.name = "wild", .names = {"DNS:*.example.com"}}),
                        authority().issue({.name = "second", .names = {"DNS:Two.example.com"}}),
                        authority().issue({.name = "second rsa", .names = {"DNS:Two.example.com"}, .rsa = true})});
  TestServer server(files.server());
  const std::map<std::string, std::string> rows = {
      {"one.example.com", "first"},   {"two.example.com", "second"}, {"TWO.EXAMPLE.COM", "second"},
      {"three.example.com", "wild"},  {"localhost", "first"},        {"a.b.example.com", ""},
      {"example.com", ""},            {"other.test", ""}};
  for (const auto& [name, expected] : rows) {
    INFO(name);
    auto client = server.client();
    CHECK(client.secure(trusting({.server_name = name})) == !expected.empty());
    if (!expected.empty()) CHECK(client.tls().peer_name() == expected);
  }
  auto nameless = server.client();
  CHECK(nameless.secure(trusting({.server_name = ""})));
  CHECK(nameless.tls().peer_name() == "first");
  // One name, two kinds of key: what the client can verify decides.
  auto rsa = server.client();
  CHECK(rsa.secure(trusting({.server_name = "two.example.com", .version_max = TLS1_2_VERSION, .ciphers = "aRSA@SECLEVEL=0"})));
  CHECK(rsa.tls().peer_name() == "second rsa");
}

TEST_CASE("a client that comes back resumes, on any listener's thread and after a new certificate") {
  TlsFiles files;
  TestServer server(files.server());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto first = server.client();
    REQUIRE(first.secure(trusting({.version_min = version, .version_max = version})));
    CHECK(SSL_session_reused(first.tls().ssl()) == 0);
    CHECK(first.get("/hello").status == 200);  // TLS 1.3 sends its tickets after the handshake.
    std::unique_ptr<SSL_SESSION, FreeWith<SSL_SESSION_free>> session(SSL_get1_session(first.tls().ssl()));
    files.folder.write("0.crt", local_identity().certificate + "\n");
    server.server->reload_certificates();
    for (int i = 0; i < 4; ++i) {
      auto next = server.client();
      REQUIRE(next.secure(trusting({.version_min = version, .version_max = version, .session = session.get()})));
      CHECK(SSL_session_reused(next.tls().ssl()) == 1);
      CHECK(next.get("/hello").status == 200);
      session.reset(SSL_get1_session(next.tls().ssl()));  // OpenSSL's client uses a ticket of TLS 1.3 once.
    }
  }
  CHECK(server.server->handshakes().resumed == 8);
}

TEST_CASE("ticket keys rotate, and old ones open for a while") {
  TicketKeys keys;
  const SteadyTime start{};
  const auto first = keys.sealing(start);
  REQUIRE(first);
  CHECK(keys.sealing(start + TicketKeys::kSealTime - 1s)->name == first->name);
  const auto later = start + TicketKeys::kSealTime;
  const auto second = keys.sealing(later);
  CHECK(second->name != first->name);
  CHECK(second->cipher != first->cipher);
  CHECK(keys.opening(first->name.data(), later)->old);
  CHECK(keys.opening(first->name.data(), later)->key.mac == first->mac);
  CHECK_FALSE(keys.opening(second->name.data(), later)->old);
  CHECK(keys.opening(first->name.data(), later + TicketKeys::kLifetime - 1s));
  CHECK_FALSE(keys.opening(first->name.data(), later + TicketKeys::kLifetime));
  CHECK_FALSE(keys.opening(TicketKeys::Name{}.data(), later));
}

TEST_CASE("client certificates") {
  const Authority clients("clients"), strangers("strangers");
  const Authority between = clients.below("between");
  const auto good = clients.issue({.name = "builder",
                                   .names = {"DNS:build.example.com", "URI:spiffe://example.com/ci", "email:ci@example.com"},
                                   .use = "clientAuth"});
  struct Row {
    const char* name;
    Identity identity;
    bool accepted;
  };
  const Row rows[] = {
      {"good", good, true},
      {"of a stranger", strangers.issue({.name = "builder", .use = "clientAuth"}), false},
      {"expired", clients.issue({.name = "late", .use = "clientAuth", .until = -60s}), false},
      {"not yet valid", clients.issue({.name = "early", .use = "clientAuth", .from = 1h}), false},
      {"for servers", clients.issue({.name = "server", .use = "serverAuth"}), false},
      {"without what leads to the authority", between.issue({.name = "deep", .use = "clientAuth"}), false},
      {"the server's own authority", local_identity(), false},
  };
  // TLS 1.3 clients learn of a refusal with their first read.
  const auto ask = [](TestServer& server, const Identity& identity, int version) {
    auto client = server.client();
    const bool shaken = client.secure(trusting({.identity = identity, .version_min = version, .version_max = version}));
    return shaken ? client.get("/head").body : std::string();
  };
  const std::string proven =
      "GET /head\nHost=a\nsecure\nCN=builder\nbuild.example.com\nspiffe://example.com/ci\nci@example.com\n127.0.0.1 -";
  const std::string nobody = "GET /head\nHost=a\nsecure\n127.0.0.1 -";
  for (const auto how : {Ask::optional, Ask::required}) {
    TlsFiles files;
    files.ask(how, clients.certificate());
    TestServer server(files.server());
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      for (const auto& row : rows) {
        INFO(row.name << (how == Ask::optional ? ", optional, " : ", required, ") << version);
        CHECK(ask(server, row.identity, version) == (row.accepted ? proven : ""));
      }
      CHECK(ask(server, {}, version) == (how == Ask::optional ? nobody : ""));
    }
  }
  SECTION("an authority in the middle may be trusted by itself") {
    TlsFiles files;
    files.ask(Ask::required, between.certificate());
    TestServer server(files.server());
    CHECK(!ask(server, between.issue({.name = "deep", .use = "clientAuth"}), TLS1_3_VERSION).empty());
    CHECK(ask(server, good, TLS1_3_VERSION).empty());
  }
  SECTION("a listener that does not ask is not told") {
    const TlsFiles files;
    TestServer server(files.server());
    CHECK(ask(server, good, TLS1_3_VERSION) == nobody);
  }
  SECTION("a ticket proves nothing where certificates are asked for") {
    const TlsFiles plain;
    TlsFiles asking;
    asking.ask(Ask::required, clients.certificate());
    ServerOptions options;
    options.listeners = {{"127.0.0.1", 0, true, plain.options}, {"127.0.0.1", 0, true, asking.options}};
    TestServer server(options);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      auto first = server.client();
      REQUIRE(first.secure(trusting({.version_min = version, .version_max = version})));
      CHECK(first.get("/hello").status == 200);
      std::unique_ptr<SSL_SESSION, FreeWith<SSL_SESSION_free>> session(SSL_get1_session(first.tls().ssl()));
      Client second(server.server->ports()[1]);
      const bool shaken = second.secure(trusting({.version_min = version, .version_max = version, .session = session.get()}));
      CHECK((!shaken || second.get("/hello").status == 0));
    }
  }
}

TEST_CASE("a connection does not outlive what vouches for its client") {
  const Authority clients("clients"), others("others");
  const auto connect = [](TestServer& server, const Identity& identity) {
    auto client = server.client();
    REQUIRE(client.secure(trusting({.identity = identity})));
    REQUIRE(client.get("/head").body.find("CN=builder") != std::string::npos);
    return client;
  };
  TlsFiles files;
  files.ask(Ask::optional, clients.certificate());
  TestServer server(files.server());
  auto lasting = connect(server, clients.issue({.name = "builder", .use = "clientAuth"}));
  SECTION("the end of the certificate") {
    auto short_lived = connect(server, clients.issue({.name = "builder", .use = "clientAuth", .until = 2s}));
    CHECK(eventually([&] { return short_lived.get("/head").status == 0; }));
    CHECK(lasting.get("/head").status == 200);
  }
  SECTION("another authority") {
    auto nobody = server.client();
    REQUIRE(nobody.secure(trusting()));
    files.ask(Ask::optional, others.certificate());
    server.server->reload_certificates();
    CHECK(lasting.get("/head").status == 0);
    CHECK(lasting.at_end());
    CHECK(nobody.get("/head").status == 200);
    connect(server, others.issue({.name = "builder", .use = "clientAuth"}));
  }
}

TEST_CASE("who speaks no TLS is told or let go") {
  const TlsFiles files;
  auto options = files.server();
  options.header_timeout = 1s;
  TestServer server(options);
  SECTION("plain HTTP gets an answer") {
    auto client = server.client();
    const auto reply = client.get("/hello");
    CHECK(reply.status == 400);
    CHECK_THAT(reply.body, Catch::Contains("this port speaks TLS") && Catch::Contains("https://"));
    CHECK(reply.closes());
    CHECK(client.at_end());
    CHECK(server.handler.finished_count() == 0);
  }
  SECTION("noise gets an end") {
    auto client = server.client();
    client.send(std::string(200, '\x01'));
    CHECK(client.read_reply().status == 0);
    CHECK(server.server->handshakes().failed == 1);
  }
  SECTION("half a handshake and silence are let go by the deadline of the head") {
    auto silent = server.client();
    auto half = server.client();
    half.send(std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01", 8));
    REQUIRE(server.wait_for_connections(2));
    CHECK(server.wait_for_connections(0));
    CHECK(server.server->handshakes().timed_out == 1);
  }
  SECTION("a handshake and half a head are let go as well") {
    auto client = server.client();
    REQUIRE(client.secure(trusting()));
    client.send("GET /hello HTT");
    CHECK(client.read_reply().status == 408);
    CHECK(server.wait_for_connections(0));
  }
}

TEST_CASE("a body over TLS that stalls is let go") {
  const TlsFiles files;
  auto options = files.server();
  options.rate_window = 1s;
  options.rate_bytes = 1000;
  TestServer server(options);
  auto client = server.client();
  REQUIRE(client.secure(trusting()));
  client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhi");
  CHECK(client.read_reply().status == 408);
}

TEST_CASE("certificates that a server does not start with") {
  const auto other = authority().issue({.name = "other", .names = kLocal});
  const Authority between = authority().below("between");
  const auto below = between.issue({.name = "below", .names = kLocal});
  struct Row {
    const char* name;
    std::string certificate;
    std::string key;
    const char* complaint;
  };
  const Row rows[] = {
      {"key of another", local_identity().certificate, other.key, "the key belongs to another certificate"},
      {"expired", authority().issue({.name = "x", .names = kLocal, .until = -1s}).certificate, "", "expired at 20"},
      {"early", authority().issue({.name = "x", .names = kLocal, .from = 1h}).certificate, "", "is not valid before 20"},
      {"for clients", authority().issue({.name = "x", .names = kLocal, .use = "clientAuth"}).certificate, "", "may not be used for a server"},
      {"no certificate", "hello", local_identity().key, "holds no certificate in PEM form"},
      {"no key", local_identity().certificate, "hello", "holds no private key in PEM form"},
      {"broken", local_identity().certificate.substr(0, 200) + "\n-----END CERTIFICATE-----\n", local_identity().key, "holds a broken certificate"},
      {"wrong order", below.certificate + authority().certificate(), below.key, "out of order or incomplete"},
      {"unrelated", local_identity().certificate + other.certificate, local_identity().key, "out of order or incomplete"},
  };
  const WallTime now = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  for (const auto& row : rows) {
    INFO(row.name);
    auto key = row.key;
    auto parsed = parse_certificate(row.certificate, key, now);
    if (key.empty()) {  // The key of a certificate made in passing.
      const auto again = authority().issue({.name = "x",
                                            .names = kLocal,
                                            .use = row.name == std::string("for clients") ? "clientAuth" : "serverAuth",
                                            .from = row.name == std::string("early") ? 1h : -1h,
                                            .until = row.name == std::string("expired") ? -1s : 24h});
      (void)parsed.has_value();
      parsed = parse_certificate(again.certificate, again.key, now);
    }
    REQUIRE_FALSE(parsed);
    CHECK_THAT(parsed.error().message, Catch::Contains(row.complaint));
  }
  CHECK(parse_certificate(below.certificate + between.certificate(), below.key, now));
  CHECK(parse_certificate(below.certificate + between.certificate() + authority().certificate(), below.key, now));

  SECTION("a key with a passphrase is refused, not asked for") {
    const auto bio = bio_over(local_identity().key);
    const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
    const BioPtr out(BIO_new(BIO_s_mem()));
    PEM_write_bio_PrivateKey(out.get(), key.get(), EVP_aes_128_cbc(), nullptr, 0, nullptr, const_cast<char*>("secret"));
    char* text = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &text);
    const auto parsed = parse_certificate(local_identity().certificate, {text, static_cast<std::size_t>(size)}, now);
    REQUIRE_FALSE(parsed);
    CHECK_THAT(parsed.error().message, Catch::Contains("passphrase"));
  }
  SECTION("and says which file") {
    TlsFiles files;
    files.options.certificates[0].key = files.folder.path("missing.key");
    Tls tls({files.options});
    const auto loaded = tls.load();
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().message == files.folder.path("missing.key") + ": cannot be opened: No such file or directory");
  }
  SECTION("a folder is no file") {
    TlsFiles files;
    files.options.certificates[0].key = files.folder.path(".");
    Tls tls({files.options});
    const auto loaded = tls.load();
    REQUIRE_FALSE(loaded);
    CHECK_THAT(loaded.error().message, Catch::Contains("is not a file"));
  }
}

TEST_CASE("how soon a certificate ends") {
  const WallTime end{std::chrono::hours(24 * 10'000)};
  const std::pair<std::chrono::hours, ExpiryStep> rows[] = {
      {24h * 31, ExpiryStep::none},  {24h * 30, ExpiryStep::days_30}, {24h * 8, ExpiryStep::days_30},
      {24h * 7, ExpiryStep::days_7}, {25h, ExpiryStep::days_7},       {24h, ExpiryStep::day_1},
      {1h, ExpiryStep::day_1},       {0h, ExpiryStep::expired},       {-1h, ExpiryStep::expired}};
  for (const auto& [before, step] : rows) CHECK(expiry_step(end, end - before) == step);
}

TEST_CASE("a pair that does not load leaves the old one in use, and says so") {
  TlsFiles files;
  TestServer server(files.server());
  const auto peer = [&] {
    auto client = server.client();
    return client.secure(trusting()) ? client.tls().peer_name() : std::string();
  };
  const auto fresh = authority().issue({.name = "fresh", .names = kLocal});
  files.folder.write("0.crt", fresh.certificate);
  server.server->reload_certificates();
  CHECK(peer() == "local");
  CHECK_THAT(server.server->certificates().at(0).problem, Catch::Contains("the key belongs to another certificate"));
  CHECK(server.server->certificates().at(0).subject == "CN=local");
  files.folder.write("0.key", fresh.key);
  server.server->reload_certificates();
  CHECK(peer() == "fresh");
  CHECK(server.server->certificates().at(0).problem.empty());
  std::filesystem::remove(files.folder.path("0.crt"));
  server.server->reload_certificates();
  CHECK(peer() == "fresh");
  CHECK_THAT(server.server->certificates().at(0).problem, Catch::Contains("No such file"));
}

TEST_CASE("an authority of client certificates is told with the others, and that it ends") {
  const Authority clients("clients");
  const auto below = clients.issue({.name = "old", .authority = true, .until = 10min});
  TlsFiles files;
  files.ask(Ask::optional, clients.certificate() + below.certificate);
  TestServer server(files.server());
  const auto shown = server.server->certificates();
  REQUIRE(shown.size() == 3);
  CHECK(!shown[0].vouches);
  CHECK(shown[2].vouches);
  CHECK(shown[2].subject == "CN=old");
  CHECK(shown[2].file == files.options.client_ca);
  CHECK(certificate_list(shown, config::Settings()).size() == 1);
  const auto watched = watch_certificates([&server] { return server.server->certificates(); });
  const auto series = test::scrape();
  const auto ends = series.find("berth_tls_certificate_not_after_timestamp_seconds{certificate=\"" + files.options.client_ca + "\"}");
  REQUIRE(ends != series.end());
  const auto left = WallTime(std::chrono::seconds(static_cast<std::int64_t>(ends->second))) - std::chrono::system_clock::now();
  CHECK(left > 8min);
  CHECK(left < 11min);
  // New ones are taken, and told, without a start.
  files.folder.write("clients.crt", clients.certificate());
  server.server->reload_certificates();
  CHECK(server.server->certificates().size() == 2);
}

TEST_CASE("a symlink that is swapped, as Kubernetes does it, is noticed by itself") {
  const test::Folder folder;
  namespace fs = std::filesystem;
  const auto publish = [&](const std::string& version, const Identity& identity) {
    fs::create_directory(folder.path(version));
    folder.write(version + "/tls.crt", identity.certificate);
    folder.write(version + "/tls.key", identity.key);
    fs::remove(folder.path("..data_tmp"));
    fs::create_directory_symlink(version, folder.path("..data_tmp"));
    fs::rename(folder.path("..data_tmp"), folder.path("..data"));
  };
  publish("..1", local_identity());
  fs::create_symlink("..data/tls.crt", folder.path("tls.crt"));
  fs::create_symlink("..data/tls.key", folder.path("tls.key"));
  ServerOptions options;
  TlsOptions tls;
  tls.certificates = {{folder.path("tls.crt"), folder.path("tls.key")}};
  options.listeners = {{"127.0.0.1", 0, true, tls}};
  TestServer server(options);
  publish("..2", authority().issue({.name = "swapped", .names = kLocal}));
  for (int i = 0; i < 500 && server.server->certificates().at(0).subject != "CN=swapped"; ++i) std::this_thread::sleep_for(10ms);
  CHECK(server.server->certificates().at(0).subject == "CN=swapped");
}

TEST_CASE("100 swaps under load fail no request") {
  TlsFiles files;
  TestServer server(files.server());
  server.handler.file = memory_file(pattern(200'000));
  const Identity identities[] = {local_identity(), authority().issue({.name = "other", .names = kLocal, .rsa = true})};
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0}, served{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 3; ++c) {
    clients.emplace_back([&, keeps = c == 0] {
      const auto content = pattern(200'000);
      auto kept = server.client();
      if (keeps && !kept.secure(trusting())) ++failed;
      while (!stop) {
        auto fresh = server.client();
        auto& client = keeps ? kept : fresh;
        if (!keeps && !client.secure(trusting())) ++failed;
        if (client.get("/hello").body != "hello" || client.get("/file").body != content) ++failed;
        ++served;
      }
    });
  }
  for (int swap = 1; swap <= 100; ++swap) {
    const auto& identity = identities[swap % 2];
    // The watch may meet the halves of a pair; what it cannot load changes nothing.
    files.folder.write("0.crt", identity.certificate);
    files.folder.write("0.key", identity.key);
    server.server->reload_certificates();
    REQUIRE(server.server->certificates().at(0).subject == (swap % 2 == 1 ? "CN=other" : "CN=local"));
    const int before = served;
    for (int i = 0; i < 200 && served == before; ++i) std::this_thread::sleep_for(1ms);
  }
  stop = true;
  for (auto& client : clients) client.join();
  CHECK(failed == 0);
  CHECK(served > 100);
}

}  // namespace berth::server
