// The command line from the outside: arguments in, exit code and both streams out.
#include "cli/cli.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

using namespace berth;

namespace {

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
  std::optional<cli::ServeCall> served;
};

struct Given {
  std::map<std::string, std::string> environment = {};
  std::string input = {};
  bool interactive = false;
  int serve_code = 0;
};

Ran run(std::vector<std::string> arguments, Given given = {}) {
  Ran ran;
  std::istringstream in(given.input);
  std::ostringstream out, err;
  cli::Program program{"1.2.3",
                       [&](const cli::ServeCall& call) {
                         ran.served = call;
                         return given.serve_code;
                       },
                       given.environment, in, out, err, given.interactive};
  std::vector<const char*> argv{"berth"};
  for (const auto& argument : arguments) argv.push_back(argument.c_str());
  ran.code = cli::run(static_cast<int>(argv.size()), argv.data(), program);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

/// Answers one prepared response a connection, on a port of loopback that the kernel chose, and keeps the requests.
class CannedServer {
 public:
  explicit CannedServer(std::vector<std::string> responses) : responses_(std::move(responses)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_, 8) == 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { answer_all(); });
  }
  ~CannedServer() {
    ::shutdown(listener_, SHUT_RDWR);  // ends an accept that nobody will come for
    if (thread_.joinable()) thread_.join();
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  /// The request lines, once every response was given.
  std::vector<std::string> requests() {
    thread_.join();
    return requests_;
  }

 private:
  void answer_all() {
    for (const auto& response : responses_) {
      int peer = ::accept(listener_, nullptr, nullptr);
      if (peer < 0) return;
      std::string head;
      char piece[512];
      while (head.find("\r\n\r\n") == head.npos) {
        ssize_t size = ::recv(peer, piece, sizeof piece, 0);
        if (size <= 0) break;
        head.append(piece, static_cast<std::size_t>(size));
      }
      requests_.push_back(head.substr(0, head.find("\r\n")));
      ::send(peer, response.data(), response.size(), MSG_NOSIGNAL);
      ::close(peer);
    }
  }
  std::vector<std::string> responses_;
  std::vector<std::string> requests_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

std::string response(int status, const std::string& body, const std::string& header = "") {
  return "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + header +
         "Connection: close\r\n\r\n" + body;
}

const std::string kLinked = "Link: </x>; rel=\"next\"\r\n";

/// An address where nobody listens: bound, so that nobody else gets it, but not listening.
class DeadAddress {
 public:
  DeadAddress() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~DeadAddress() { ::close(socket_); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

}  // namespace

TEST_CASE("arguments that are wrong end with 2 and a word on stderr") {
  auto arguments = GENERATE(values<std::vector<std::string>>({
      {},
      {"no-such-command"},
      {"config"},
      {"config", "no-such"},
      {"repo"},
      {"repo", "rm"},
      {"tag", "ls"},
      {"serve", "--no-such"},
      {"serve", "stray"},
      {"serve", "--listen"},
      {"serve", "--listen", "5000"},
      {"serve", "--set", "limits.manifest_size"},
      {"serve", "--set", "=1"},
      {"version", "-o", "xml"},
      {"health", "--url", "http://a", "--address", "127.0.0.1:1"},
      {"health", "--address", "127.0.0.1"},
      {"health", "--address", "127.0.0.1:0"},
      {"health", "--timeout", "5"},
      {"health", "--timeout", "0s"},
      {"health", "--timeout", "2d"},
      {"repo", "ls", "--server", "127.0.0.1:5000"},
      {"repo", "ls", "--server", "http://a/b"},
      {"repo", "ls", "--server", "file:///etc/passwd"},
      {"repo", "rm", "../../v2", "--yes"},
      {"repo", "rm", "Upper", "--yes"},
      {"repo", "rm", "a?b", "--yes"},
      {"repo", "rm", "a//b", "--yes"},
      {"tag", "ls", "/a"},
  }));
  CAPTURE(arguments);
  auto ran = run(arguments);
  CHECK(ran.code == cli::kUsage);
  CHECK_FALSE(ran.err.empty());
  CHECK(ran.out.empty());
  CHECK_FALSE(ran.served);
}

TEST_CASE("wrong arguments are told to a person") {
  struct Row {
    std::vector<std::string> arguments;
    std::string said;
  };
  auto row = GENERATE(values<Row>({
      {{"versoin"},
       "berth: versoin: unknown command; expected serve, config, health, doctor, certs, client-config, version, completion, man, "
       "repo, tag, user, group, robot, token, role, grant, access, read-only, log, metrics; did you mean version?\n"
       "See berth --help.\n"},
      {{"repo", "list"},
       "berth repo: list: unknown command; expected ls, rm; did you mean ls?\nSee berth repo --help.\n"},
      {{"--verbose", "serve"}, "berth: --verbose: unknown option\nSee berth --help.\n"},
      {{"serve", "--lisen", "127.0.0.1:1"},
       "berth serve: --lisen: unknown option; did you mean --listen?\nSee berth serve --help.\n"},
      {{"serve", "--dta=/x", "y"}, "berth serve: --dta: unknown option; did you mean --data?\nSee berth serve --help.\n"},
      {{"serve", "stray"}, "berth serve: stray: one argument too many\nSee berth serve --help.\n"},
      {{"repo", "rm", "a", "b"}, "berth repo rm: b: one argument too many\nSee berth repo rm --help.\n"},
      {{"tag", "ls"}, "berth tag ls: name is required\nSee berth tag ls --help.\n"},
  }));
  CAPTURE(row.arguments);
  CHECK(run(row.arguments).err == row.said);
}

TEST_CASE("without a command there is help, as a mistake") {
  CHECK_THAT(run({}).err, Catch::Contains("Usage: berth ") && Catch::Contains("health"));
  CHECK_THAT(run({"config"}).err, Catch::Contains("Usage: berth config ") && Catch::Contains("reference"));
}

TEST_CASE("help is an answer") {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"serve", "--help"}, {"config", "check", "--help"}, {"repo", "rm", "--help"}}) {
    auto ran = run(arguments);
    CHECK(ran.code == cli::kOk);
    CHECK_THAT(ran.out, Catch::Contains("--help"));
    CHECK(ran.err.empty());
  }
}

TEST_CASE("nothing that is written holds a colour") {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"version"}, {"config", "print"}, {"config", "schema"}, {"nonsense"}}) {
    auto ran = run(arguments);
    CHECK((ran.out + ran.err).find('\x1b') == std::string::npos);
  }
}

TEST_CASE("version") {
  CHECK(run({"version"}).out == "berth 1.2.3\n");
  CHECK(run({"--version"}).out == "berth 1.2.3\n");
  CHECK(run({"--version"}).code == cli::kOk);
  auto ran = run({"version", "-o", "json"});
  CHECK(ran.code == cli::kOk);
  CHECK(nlohmann::json::parse(ran.out) == nlohmann::json{{"version", "1.2.3"}});
}

TEST_CASE("serve gets its sources in their order and answers its exit code") {
  auto ran = run({"serve", "--config", "a.yaml", "--set", "log.level=debug", "--listen", "127.0.0.1:0", "--listen", "[::1]:7",
                  "--data", "/d", "--log-level", "error", "--set", "public_url=http://a=b", "--port-file", "p"},
                 {.environment = {{"BERTH_CONFIG", "other.yaml"}, {"BERTH__LIMITS__RANGES", "7"}}, .serve_code = 70});
  CHECK(ran.code == 70);
  REQUIRE(ran.served);
  CHECK(ran.served->port_file == "p");
  const auto& sources = ran.served->sources;
  CHECK(sources.file == "a.yaml");
  CHECK(sources.environment.at("BERTH__LIMITS__RANGES") == "7");
  using Pair = std::pair<std::string, std::string>;
  CHECK(sources.flags == std::vector<Pair>{{"log.level", "debug"},
                                           {"public_url", "http://a=b"},
                                           {"listeners", "[{address: \"127.0.0.1:0\"}, {address: \"[::1]:7\"}]"},
                                           {"data.directory", "/d"},
                                           {"log.level", "error"}});
}

TEST_CASE("what the flags of serve say is what the settings become") {
  auto ran = run({"serve", "--listen", "127.0.0.1:0", "--listen", "[::1]:7", "--data", "/d", "--log-level", "error"});
  REQUIRE(ran.served);
  auto settings = config::load(ran.served->sources);
  REQUIRE(settings);
  REQUIRE(settings->listeners.size() == 2);
  CHECK(settings->listeners[1].address == "[::1]:7");
  CHECK(settings->data.directory == "/d");
  CHECK(settings->log.level == "error");
}

TEST_CASE("without arguments serve has no file, else the one of BERTH_CONFIG") {
  CHECK_FALSE(run({"serve"}).served->sources.file);
  CHECK_FALSE(run({"serve"}, {.environment = {{"BERTH_CONFIG", ""}}}).served->sources.file);
  CHECK(run({"serve"}, {.environment = {{"BERTH_CONFIG", "x.yaml"}}}).served->sources.file == "x.yaml");
}

TEST_CASE("config check says 0 or 8") {
  auto good = run({"config", "check"});
  CHECK(good.code == cli::kOk);
  CHECK_THAT(good.err, Catch::Contains("no file was read"));
  CHECK(run({"config", "check", "--config", "/dev/null"}).err == "/dev/null: the settings are good\n");
  auto bad = run({"config", "check", "--set", "log.level=loud"});
  CHECK(bad.code == cli::kCheckFailed);
  CHECK(bad.out.empty());
  CHECK_THAT(bad.err, Catch::StartsWith("command line: log.level: \"loud\""));
  CHECK(run({"config", "check", "--config", "/nonexistent"}).code == cli::kCheckFailed);
  CHECK(run({"config", "check"}, {.environment = {{"BERTH__X", "1"}}}).code == cli::kCheckFailed);
}

TEST_CASE("config print, schema and reference write data to stdout") {
  auto printed = run({"config", "print", "--set", "log.level=debug"});
  CHECK(printed.code == cli::kOk);
  CHECK_THAT(printed.out, Catch::Contains("  level: debug  # command line"));
  CHECK(printed.err.empty());
  CHECK(run({"config", "print", "--set", "log.level=loud"}).code == cli::kUsage);
  CHECK(nlohmann::json::parse(run({"config", "schema"}).out).is_object());
  CHECK_THAT(run({"config", "reference"}).out, Catch::StartsWith("# Configuration"));
}

TEST_CASE("health") {
  SECTION("ready") {
    CannedServer server({response(200, "ok")});
    auto ran = run({"health", "--address", server.address()});
    CHECK(ran.code == cli::kOk);
    CHECK(ran.out == "ready\n");
    CHECK(server.requests() == std::vector<std::string>{"GET /readyz HTTP/1.1"});
  }
  SECTION("ready, with something to say") {
    CannedServer server({response(200, "ok, read-only\n")});
    CHECK(run({"health", "--address", server.address()}).out == "ready, read-only\n");
  }
  SECTION("not ready, by a full URL") {
    CannedServer server({response(503, "starting")});
    auto ran = run({"health", "--url", server.url() + "/startupz"});
    CHECK(ran.code == cli::kCheckFailed);
    CHECK_THAT(ran.err, Catch::Contains("not ready (503): starting\n"));
    CHECK(server.requests() == std::vector<std::string>{"GET /startupz HTTP/1.1"});
  }
  SECTION("where the settings listen, whatever a proxy is set to") {
    CannedServer server({response(200, "ok")});
    std::string port = server.address().substr(server.address().rfind(':'));
    ::setenv("http_proxy", "http://127.0.0.1:1", 1);
    auto ran = run({"health", "--set", "insecure=i-know-that-anyone-can-read-and-write-this", "--set",
                    "listeners=[{address: '127.0.0.1:1', serve: [registry]}, {address: '0.0.0.0" + port + "'}]"});
    ::unsetenv("http_proxy");
    CHECK(ran.code == cli::kOk);
  }
  SECTION("nobody there") {
    DeadAddress dead;
    auto ran = run({"health", "--address", dead.address()});
    CHECK(ran.code == cli::kUnreachable);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Catch::StartsWith("berth: http://" + dead.address() + "/readyz: "));
  }
  SECTION("nobody answers") {
    CannedServer server({"HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\n"});  // and then closes
    CHECK(run({"health", "--address", server.address(), "--timeout", "2s"}).code == cli::kUnreachable);
  }
  SECTION("bad settings") { CHECK(run({"health", "--set", "log.level=loud"}).code == cli::kUsage); }
}

TEST_CASE("lists walk every page") {
  CannedServer server({response(200, R"({"repositories":["a","b/c"]})", kLinked), response(200, R"({"repositories":["d"]})")});
  auto ran = run({"repo", "ls", "--server", server.url() + "/"});
  CHECK(ran.code == cli::kOk);
  CHECK(ran.out == "a\nb/c\nd\n");
  CHECK(ran.err.empty());
  CHECK(server.requests() ==
        std::vector<std::string>{"GET /v2/_catalog?n=1000 HTTP/1.1", "GET /v2/_catalog?n=1000&last=b%2Fc HTTP/1.1"});
}

TEST_CASE("lists as JSON are one array") {
  auto body = GENERATE(R"({"name":"a/b","tags":["1.0","latest"]})", R"({"name":"a/b","tags":[]})");
  CannedServer server({response(200, body)});
  auto ran = run({"tag", "ls", "a/b", "-o", "json"}, {.environment = {{"BERTH_SERVER", server.url()}}});
  CHECK(ran.code == cli::kOk);
  CHECK(nlohmann::json::parse(ran.out) == nlohmann::json::parse(body)["tags"]);
  CHECK(server.requests() == std::vector<std::string>{"GET /v2/a/b/tags/list?n=1000 HTTP/1.1"});
}

TEST_CASE("a list that breaks off says so") {
  CannedServer server({response(200, R"({"tags":["a"]})", kLinked), response(500, "")});
  auto ran = run({"tag", "ls", "x", "--server", server.url()});
  CHECK(ran.code == cli::kPartly);
  CHECK(ran.out == "a\n");
  CHECK_FALSE(ran.err.empty());
}

TEST_CASE("a server that never ends its list is left") {
  std::string page = response(200, R"({"tags":["a"]})", kLinked);
  CannedServer server({page, page, page});
  auto ran = run({"tag", "ls", "x", "--server", server.url()});
  CHECK(ran.code == cli::kOk);
  CHECK(ran.out == "a\na\n");
}

TEST_CASE("answers become exit codes") {
  struct Row {
    int status;
    int code;
  };
  auto row = GENERATE(values<Row>({{202, cli::kOk},
                                   {401, cli::kDenied},
                                   {403, cli::kDenied},
                                   {404, cli::kNotFound},
                                   {405, cli::kConflict},
                                   {409, cli::kConflict},
                                   {412, cli::kConflict},
                                   {400, cli::kFailure},
                                   {302, cli::kFailure},
                                   {500, cli::kFailure},
                                   {503, cli::kFailure}}));
  CAPTURE(row.status);
  CannedServer server({response(row.status, R"({"errors":[{"code":"SOME_CODE","message":"why\u001b[31m"}]})")});
  auto ran = run({"repo", "rm", "team/app", "--yes", "--server", server.url()});
  CHECK(ran.code == row.code);
  CHECK(ran.out.empty());
  CHECK_THAT(ran.err, Catch::StartsWith(row.code == 0 ? "deleted team/app\n" : "berth: team/app: why?[31m\n"));
  CHECK(server.requests() == std::vector<std::string>{"DELETE /api/v1/repositories/team/app HTTP/1.1"});
}

TEST_CASE("answers that make no sense are no success") {
  auto body = GENERATE("", "not JSON", "[]", "{}", R"({"tags":5})", R"({"tags":null})");
  CAPTURE(body);
  CannedServer server({response(200, body)});
  CHECK(run({"tag", "ls", "x", "--server", server.url()}).code == cli::kFailure);
}

TEST_CASE("a repository is deleted only when somebody means it") {
  SECTION("not a terminal") {
    auto ran = run({"repo", "rm", "team/app"}, {.input = "team/app\n"});
    CHECK(ran.code == cli::kUsage);
    CHECK(ran.err == "berth: this deletes the repository team/app with all its tags; say --yes to confirm\n");
  }
  SECTION("another answer") {
    auto ran = run({"repo", "rm", "team/app"}, {.input = "yes\n", .interactive = true});
    CHECK(ran.code == cli::kUsage);
    CHECK_THAT(ran.err, Catch::EndsWith("nothing was changed\n"));
  }
  SECTION("no answer") { CHECK(run({"repo", "rm", "team/app"}, {.interactive = true}).code == cli::kUsage); }
  SECTION("its name") {
    CannedServer server({response(202, "")});
    auto ran = run({"repo", "rm", "team/app", "--server", server.url()}, {.input = "team/app\n", .interactive = true});
    CHECK(ran.code == cli::kOk);
  }
}

TEST_CASE("nobody there is 6") {
  DeadAddress dead;
  CHECK(run({"repo", "ls", "--server", "http://" + dead.address()}).code == cli::kUnreachable);
  CHECK(run({"repo", "rm", "a", "--yes", "--server", "http://" + dead.address()}).code == cli::kUnreachable);
}
