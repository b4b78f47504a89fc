#include "auth/oidc.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "auth/keys.h"
#include "auth/secret_file.h"
#include "tests/support/http_peer.h"
#include "tests/support/manual_clock.h"
#include "tests/support/run_task.h"
#include "tests/support/test_authority.h"

namespace berth::auth {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

/// An issuer with keys that a test changes, on loopback.
class TestIssuer {
 public:
  explicit TestIssuer(const TestAuthority* authority = nullptr)
      : peer_([this](const PeerRequest& request) { return answer(request); }, authority) {
    add_key(Algorithm::es256);
  }

  void add_key(Algorithm algorithm) {
    auto key = SigningKey::generate(algorithm);
    std::lock_guard lock(mutex_);
    keys_.push_back(*std::move(key));
  }
  void drop_oldest_key() {
    std::lock_guard lock(mutex_);
    keys_.erase(keys_.begin());
  }
  /// From now on every request gets this.
  void misbehave(PeerReply reply) {
    std::lock_guard lock(mutex_);
    wrong_ = std::move(reply);
  }
  void misbehave_at(std::string target, PeerReply reply) {
    std::lock_guard lock(mutex_);
    wrong_target_ = std::move(target);
    wrong_ = std::move(reply);
  }
  void behave() {
    std::lock_guard lock(mutex_);
    wrong_.reset();
    wrong_target_.clear();
  }
  std::string url() const { return peer_.url(); }
  const HttpPeer& peer() const { return peer_; }
  std::size_t fetches() const {
    const auto seen = peer_.requests();
    return static_cast<std::size_t>(
        std::count_if(seen.begin(), seen.end(), [](auto& r) { return r.target == "/keys"; }));
  }

  /// Signed by the newest key, or by the one that a test holds.
  std::string token(const Clock& clock, const json& changes = json::object(), const SigningKey* key = nullptr) const {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(clock.wall().time_since_epoch()).count();
    json claims = {{"iss", url()},
                   {"sub", "system:serviceaccount:prod:deployer"},
                   {"aud", {"berth"}},
                   {"iat", now},
                   {"nbf", now},
                   {"exp", now + 600},
                   {"kubernetes.io", {{"namespace", "prod"}, {"serviceaccount", {{"name", "deployer"}}}}}};
    claims.update(changes);
    std::lock_guard lock(mutex_);
    return *(key ? *key : keys_.back()).sign_jwt(claims.dump());
  }
  SigningKey newest_key() const {
    std::lock_guard lock(mutex_);
    return keys_.back();
  }

 private:
  PeerReply answer(const PeerRequest& request) {
    std::lock_guard lock(mutex_);
    if (wrong_ && (wrong_target_.empty() || wrong_target_ == request.target)) return *wrong_;
    if (request.target == "/.well-known/openid-configuration")
      return {.body = json{{"issuer", url()}, {"jwks_uri", url() + "/keys"}}.dump()};
    if (request.target != "/keys") return {.status = 404};
    std::vector<VerificationKey> keys;
    for (const auto& key : keys_) keys.push_back(key.public_key());
    return {.body = jwks_text(keys)};
  }

  mutable std::mutex mutex_;
  std::vector<SigningKey> keys_;
  std::optional<PeerReply> wrong_;
  std::string wrong_target_;
  HttpPeer peer_;
};

/// A federation with that one issuer.
struct Bench {
  test::ManualClock clock;
  HttpClient http;
  Pool pool{"test", 1};
  TestIssuer issuer;
  std::unique_ptr<OidcFederation> federation;

  Bench() { set_up(options()); }
  OidcIssuer options() const {
    return {.name = "cluster",
            .issuer = issuer.url(),
            .audiences = {"berth"},
            .rules = {{.claims = {{"sub", {"system:serviceaccount:prod:*"}}}, .groups = {"prod"}}},
            .reach = Reach::anywhere,
            .allow_http = true,
            .timeout = 400ms};
  }
  void set_up(OidcIssuer one) {
    std::vector<OidcIssuer> all;
    all.push_back(std::move(one));
    auto made = OidcFederation::create(std::move(all), http, pool, clock);
    REQUIRE(made);
    federation = *std::move(made);
  }
  Result<FederatedIdentity> authenticate(std::string token) {
    return run_task(federation->authenticate(std::move(token)));
  }
  bool works() { return authenticate(issuer.token(clock)).has_value(); }
};

}  // namespace

TEST_CASE("a token of a known issuer names its bearer") {
  Bench bench;
  const auto identity = bench.authenticate(bench.issuer.token(bench.clock));
  REQUIRE(identity);
  CHECK(identity->subject == "federated:cluster:system:serviceaccount:prod:deployer");
  CHECK(identity->groups == std::vector<std::string>{"prod"});
  CHECK(identity->expires == std::chrono::floor<std::chrono::seconds>(bench.clock.wall()) + 600s);
  for (int i = 0; i < 20; ++i) CHECK(bench.works());
  CHECK(bench.issuer.fetches() == 1);
  for (const auto algorithm : {Algorithm::rs256, Algorithm::eddsa}) {
    Bench other;
    other.issuer.add_key(algorithm);
    CHECK(other.works());
  }
}

TEST_CASE("tokens that name nobody") {
  Bench bench;
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(bench.clock.wall().time_since_epoch()).count();
  const TestIssuer other;
  const auto good = bench.issuer.token(bench.clock);
  struct Row {
    const char* name;
    std::string token;
  };
  const Row rows[] = {
      {"nothing", ""},
      {"a password", "correct horse"},
      {"dots alone", ".."},
      {"too large", good + std::string(20000, 'a')},
      {"an issuer nobody set up", other.token(bench.clock)},
      {"another issuer's key",
       bench.issuer.token(bench.clock, json::object(), std::make_unique<SigningKey>(other.newest_key()).get())},
      {"another audience", bench.issuer.token(bench.clock, {{"aud", "https://kubernetes.default.svc"}})},
      {"no rule", bench.issuer.token(bench.clock, {{"sub", "system:serviceaccount:test:deployer"}})},
      {"expired", bench.issuer.token(bench.clock, {{"exp", now - 61}})},
      {"not yet", bench.issuer.token(bench.clock, {{"nbf", now + 61}})},
      {"an issuer that is no text", bench.issuer.token(bench.clock, {{"iss", {bench.issuer.url()}}})},
      {"a changed signature", good.substr(0, good.size() - 8) + "AAAAAAAA"},
      {"no signature", good.substr(0, good.rfind('.') + 1)},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto identity = bench.authenticate(row.token);
    REQUIRE(identity.failed_with(ErrorCode::unauthorized));
    CHECK_FALSE(identity.error().log_detail.empty());
  }
  CHECK(bench.authenticate(good));
}

TEST_CASE("keys rotate") {
  Bench bench;
  REQUIRE(bench.works());
  const auto old_key = bench.issuer.newest_key();
  bench.issuer.add_key(Algorithm::eddsa);
  SECTION("a new key is fetched when a token shows it, once a minute at most") {
    bench.clock.advance(59s);
    CHECK_FALSE(bench.works());
    CHECK(bench.issuer.fetches() == 1);
    bench.clock.advance(1s);
    CHECK(bench.works());
    CHECK(bench.issuer.fetches() == 2);
  }
  SECTION("made-up key ids cost the issuer one request a minute") {
    const TestIssuer stranger;
    const auto key = stranger.newest_key();
    for (int i = 0; i < 120; ++i) {
      bench.clock.advance(1s);
      CHECK_FALSE(bench.authenticate(bench.issuer.token(bench.clock, json::object(), &key)));
    }
    CHECK(bench.issuer.fetches() == 3);
  }
  SECTION("a key that was taken back goes when the keys are fetched again") {
    bench.issuer.drop_oldest_key();
    const auto with_old_key = [&] {
      return bench.authenticate(bench.issuer.token(bench.clock, json::object(), &old_key));
    };
    bench.clock.advance(15min);
    CHECK(with_old_key());
    CHECK(bench.issuer.fetches() == 1);
    bench.clock.advance(1ms);
    CHECK(with_old_key());  // does not wait for the fetch it starts
    CHECK(bench.issuer.fetches() == 2);
    CHECK(with_old_key().failed_with(ErrorCode::unauthorized));
    CHECK(bench.works());
  }
}

TEST_CASE("an issuer that gives no keys") {
  struct Row {
    const char* name;
    const char* target;
    PeerReply reply;
  };
  Bench bench;
  const auto here = bench.issuer.url();
  const Row rows[] = {
      {"closes", "", {.close_early = true}},
      {"fails", "", {.status = 500, .body = "{}"}},
      {"is slow", "", {.delay = 10s}},
      {"redirects", "", {.status = 302, .headers = "Location: " + here + "/keys\r\n"}},
      {"never ends", "", {.body = std::string(65536, ' '), .never_end = true}},
      {"says HTML", "", {.body = "<html>"}},
      {"says a list", "", {.body = "[]"}},
      {"discovery for another",
       "/.well-known/openid-configuration",
       {.body = R"({"issuer":"https://a","jwks_uri":")" + here + "/keys\"}"}},
      {"discovery without keys", "/.well-known/openid-configuration", {.body = R"({"issuer":")" + here + "\"}"}},
      {"discovery into files",
       "/.well-known/openid-configuration",
       {.body = R"({"issuer":")" + here + R"(","jwks_uri":"file:///etc/passwd"})"}},
      {"no keys", "/keys", {.body = R"({"keys":[]})"}},
      {"keys twice", "/keys", {.body = R"({"keys":[],"keys":[]})"}},
      {"keys too large", "/keys", {.body = std::string(65537, ' ')}},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    bench.issuer.misbehave_at(row.target, row.reply);
    const auto began = std::chrono::steady_clock::now();
    CHECK(bench.authenticate(bench.issuer.token(bench.clock)).failed_with(ErrorCode::unavailable));
    CHECK(std::chrono::steady_clock::now() - began < 5s);
    // It is not asked again at once, and then it is.
    const auto asked = bench.issuer.peer().requests().size();
    CHECK(bench.authenticate(bench.issuer.token(bench.clock)).failed_with(ErrorCode::unavailable));
    CHECK(bench.issuer.peer().requests().size() == asked);
    bench.clock.advance(5s);
  }
  bench.issuer.behave();
  CHECK(bench.works());
}

TEST_CASE("keys outlast an issuer that is down, for a day") {
  Bench bench;
  REQUIRE(bench.works());
  bench.issuer.misbehave({.close_early = true});
  for (int hour = 0; hour < 24; ++hour) {
    bench.clock.advance(1h);
    CHECK(bench.works());
  }
  bench.clock.advance(1ms);
  CHECK(bench.authenticate(bench.issuer.token(bench.clock)).failed_with(ErrorCode::unavailable));
  bench.issuer.behave();
  bench.clock.advance(1min);
  CHECK(bench.works());
}

TEST_CASE("a slow issuer holds up only those whose key is not known") {
  Bench bench;
  bench.set_up([&] {
    auto options = bench.options();
    options.timeout = 30s;
    return options;
  }());
  REQUIRE(bench.works());
  bench.issuer.misbehave({.delay = 10s});
  bench.clock.advance(1h);
  asio::io_context context(1);
  std::vector<bool> good;
  const auto count = [&good](const std::exception_ptr&, const Result<FederatedIdentity>& one) {
    good.push_back(one.has_value());
  };
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i)
    asio::co_spawn(context, bench.federation->authenticate(bench.issuer.token(bench.clock)), count);
  while (good.size() < 10 && std::chrono::steady_clock::now() - began < 5s) context.run_one_for(10ms);
  CHECK(good == std::vector<bool>(10, true));
  CHECK(bench.http.in_flight() == 1);  // they did not wait for it
  const TestIssuer stranger;
  const auto key = stranger.newest_key();
  good.clear();
  asio::co_spawn(context, bench.federation->authenticate(bench.issuer.token(bench.clock, json::object(), &key)), count);
  context.run_for(50ms);
  CHECK(good.empty());  // who has an unknown key does
  bench.http.stop();
  context.run();
  CHECK(good == std::vector<bool>{false});
}

TEST_CASE("all who wait for keys share one fetch, and one who leaves takes nothing along") {
  Bench bench;
  bench.set_up([&] {
    auto o = bench.options();
    o.timeout = 5s;
    return o;
  }());
  bench.issuer.misbehave_at("/keys", {.body = "{}", .delay = 2s});
  asio::io_context context(1);
  int unavailable = 0;
  int aborted = 0;
  const auto count = [&](const std::exception_ptr&, const Result<FederatedIdentity>& one) {
    unavailable += one.failed_with(ErrorCode::unavailable);
    aborted += !one.failed_with(ErrorCode::unavailable);
  };
  asio::cancellation_signal signal;
  // The one that starts the fetch leaves.
  asio::co_spawn(context, bench.federation->authenticate(bench.issuer.token(bench.clock)),
                 asio::bind_cancellation_slot(signal.slot(), count));
  const std::string token = bench.issuer.token(bench.clock);
  for (int i = 0; i < 300; ++i) asio::co_spawn(context, bench.federation->authenticate(token), count);
  const auto run_until = [&context](const auto& holds) {
    for (const auto end = std::chrono::steady_clock::now() + 5s; !holds() && std::chrono::steady_clock::now() < end;)
      context.run_one_for(10ms);
    return holds();
  };
  CHECK(run_until([&] { return unavailable == 45; }));  // more than 256 do not wait
  signal.emit(asio::cancellation_type::terminal);
  CHECK(run_until([&] { return aborted == 1; }));
  CHECK(unavailable == 45);
  context.run();
  CHECK(unavailable == 300);
  CHECK(aborted == 1);
  CHECK(bench.issuer.fetches() == 1);
}

TEST_CASE("the federation's end ends what waits") {
  Bench bench;
  bench.set_up([&] {
    auto o = bench.options();
    o.timeout = 30s;
    return o;
  }());
  bench.issuer.misbehave({.delay = 30s});
  asio::io_context context(1);
  int aborted = 0;
  const auto count = [&](const std::exception_ptr&, const Result<FederatedIdentity>& one) {
    aborted += one.failed_with(ErrorCode::aborted);
  };
  for (int i = 0; i < 3; ++i)
    asio::co_spawn(context, bench.federation->authenticate(bench.issuer.token(bench.clock)), count);
  context.run_for(50ms);
  const auto began = std::chrono::steady_clock::now();
  SECTION("before its HTTP client") {
    bench.federation->stop();
    bench.http.stop();
    context.run();
    CHECK(aborted == 3);
  }
  SECTION("with a context that never runs again") {
    bench.federation->stop();
    bench.http.stop();
  }
  CHECK(std::chrono::steady_clock::now() - began < 5s);
}

TEST_CASE("keys over TLS, from a given place, with a token of one's own") {
  const TestAuthority authority;
  const TestFolder folder;
  TestIssuer issuer(&authority);
  test::ManualClock clock;
  HttpClient http;
  Pool pool("test", 1);
  OidcIssuer options{.name = "cluster",
                     .issuer = issuer.url(),
                     .audiences = {"other", "berth"},
                     .rules = {{.claims = {{"/kubernetes.io/namespace", {"prod"}}}}},
                     .reach = Reach::private_network};
  const auto works = [&](OidcIssuer one) {
    auto federation = OidcFederation::create({std::move(one)}, http, pool, clock);
    REQUIRE(federation);
    return run_task((*federation)->authenticate(issuer.token(clock)));
  };
  CHECK(works(options).failed_with(ErrorCode::unavailable));  // nobody trusts its certificate
  options.ca_file = authority.root();
  CHECK(works(options));
  options.reach = Reach::internet;
  CHECK(works(options).failed_with(ErrorCode::unavailable));
  options.reach = Reach::private_network;
  options.jwks_url = issuer.url() + "/nothing";
  CHECK(works(options).failed_with(ErrorCode::unavailable));
  options.jwks_url = issuer.url() + "/keys";
  options.token_file = folder.path("gone");
  CHECK(works(options).failed_with(ErrorCode::unavailable));
  options.token_file = folder.write("token", "my-own-token\n");
  const auto before = issuer.peer().requests().size();
  CHECK(works(options));
  const auto seen = issuer.peer().requests();
  REQUIRE(seen.size() == before + 1);
  CHECK(seen.back().target == "/keys");
  CHECK(seen.back().head.find("Authorization: Bearer my-own-token\r\n") != std::string::npos);
}

TEST_CASE("issuers that are refused") {
  test::ManualClock clock;
  HttpClient http;
  Pool pool("test", 1);
  const OidcIssuer good{
      .name = "one", .issuer = "https://a", .audiences = {"berth"}, .rules = {{.claims = {{"sub", {"a"}}}}}};
  const auto create = [&](std::vector<OidcIssuer> issuers) {
    return OidcFederation::create(std::move(issuers), http, pool, clock);
  };
  struct Row {
    const char* name;
    std::function<void(OidcIssuer&)> change;
  };
  const Row rows[] = {
      {"no name", [](auto& i) { i.name.clear(); }},
      {"an upper-case name", [](auto& i) { i.name = "One"; }},
      {"the name of the outside token server", [](auto& i) { i.name = "outside"; }},
      {"a name with a colon", [](auto& i) { i.name = "a:b"; }},
      {"plain http", [](auto& i) { i.issuer = "http://a"; }},
      {"no URL", [](auto& i) { i.issuer = "a"; }},
      {"a user in the URL", [](auto& i) { i.issuer = "https://me@a"; }},
      {"no host", [](auto& i) { i.issuer = "https://"; }},
      {"a query", [](auto& i) { i.issuer = "https://a?b"; }},
      {"keys over plain http", [](auto& i) { i.jwks_url = "http://a/keys"; }},
      {"no audience", [](auto& i) { i.audiences.clear(); }},
      {"an empty audience", [](auto& i) { i.audiences = {""}; }},
      {"no rules", [](auto& i) { i.rules.clear(); }},
      {"too many rules", [](auto& i) { i.rules.resize(257, i.rules[0]); }},
      {"a bad rule", [](auto& i) { i.rules.push_back({}); }},
      {"no time", [](auto& i) { i.timeout = 0ms; }},
      {"a negative leeway", [](auto& i) { i.leeway = -1s; }},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    OidcIssuer one = good;
    row.change(one);
    CHECK(create({one}).failed_with(ErrorCode::request_invalid));
  }
  OidcIssuer same_name = good;
  same_name.issuer = "https://b";
  OidcIssuer same_address = good;
  same_address.name = "two";
  CHECK(create({good, same_name}).failed_with(ErrorCode::request_invalid));
  CHECK(create({good, same_address}).failed_with(ErrorCode::request_invalid));
  CHECK(create({good}));
  CHECK(create({}));
}

TEST_CASE("files that hold a secret") {
  const TestFolder folder;
  CHECK(*read_secret_file(folder.write("a", "secret")) == "secret");
  CHECK(*read_secret_file(folder.write("a", " se cret \r\n\n")) == " se cret ");
  CHECK(read_secret_file(folder.write("a", std::string(16 << 10, 'a')))->size() == 16 << 10);
  for (const auto& path : {folder.path("gone"), folder.path("."), folder.write("empty", "\n"),
                           folder.write("large", std::string((16 << 10) + 1, 'a')), std::string("/dev/zero")}) {
    INFO(path);
    const auto read = read_secret_file(path);
    REQUIRE(read.failed_with(ErrorCode::unavailable));
    CHECK(read.error().message.find(path) != std::string::npos);
  }
}

}  // namespace berth::auth
