#include "cli/session.h"

#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/base64.h"
#include "base/socket_path.h"
#include "cli/answers.h"
#include "config/local_socket.h"

namespace berth::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t kPagesMax = 100'000;

/// errno of a connection to a local socket; 0: somebody listens.
int try_socket(const std::string& path) {
  const auto fitting = SocketPath::open(path);
  if (!fitting) return ENOENT;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, fitting->text().data(), fitting->text().size());  // the rest is zero
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return errno;
  const int error = ::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  ::close(descriptor);
  return error;
}

/// "registry.example.com" of "https://registry.example.com:8443".
std::string host_of(const std::string& url) {
  const std::string rest = url.substr(url.find("//") + 2);
  if (rest.starts_with('[')) return rest.substr(1, rest.find(']') - 1);
  return rest.substr(0, rest.find(':'));
}

std::string value_of(const std::map<std::string, std::string>& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

}  // namespace

std::variant<Session, int> Session::open(const SessionOptions& options, const Program& program) {
  Session session(options, program);
  while (session.options_.server.ends_with('/')) session.options_.server.pop_back();
  const auto failed = session.local() ? session.find_socket() : session.log_in();
  if (failed) return *failed;
  return session;
}

std::optional<int> Session::find_socket() {
  const bool logs_in = !options_.user.empty() || options_.login_stdin || !options_.ca_file.empty();
  if (logs_in && !options_.server_else.empty()) {
    options_.server = options_.server_else;
    return log_in();
  }
  if (logs_in)
    return usage("--user, --login-stdin and --ca are for --server URL; the local socket needs no login");
  if (options_.socket.empty()) {
    const auto settings = config::load(options_.sources);
    if (!settings) {
      program_.err << settings.error().message << '\n';
      return kUsage;
    }
    options_.socket = config::local_socket_of(*settings);
  }
  const int error = try_socket(options_.socket);
  if (error == 0) return std::nullopt;
  if (!options_.server_else.empty()) {
    options_.server = options_.server_else;
    return log_in();
  }
  if (error == EACCES || error == EPERM) {
    program_.err << fmt::format(
        "berth: {} is for the user that runs berth and for root; become one of them (sudo), or say --server URL and --user "
        "NAME\n",
        options_.socket);
    return kDenied;
  }
  program_.err << fmt::format(
      "berth: nobody answers at {} ({}); start berth, or say --data or --config as `berth serve` has it, or --server URL\n",
      options_.socket, std::strerror(error));
  return kUnreachable;
}

std::optional<int> Session::log_in() {
  const std::string token = value_of(program_.environment, "BERTH_TOKEN");
  if (!may_be_server(options_.server)) return usage(wrong_server(options_.server));
  if (options_.login_stdin && options_.user.empty()) return usage("--login-stdin needs --user NAME");
  if (options_.user.empty() && token.empty()) return std::nullopt;
  if (options_.server.starts_with("http://") && !config::is_loopback(host_of(options_.server)))
    return usage(options_.server + " would carry the password in the clear; use https://");
  if (options_.user.empty()) {
    authorization_ = "Bearer " + token;
    return std::nullopt;
  }
  if (options_.user.find(':') != std::string::npos)  // it would end the name before the password
    return usage("--user " + options_.user + ": a name has no colon; say it without user: or robot:");
  std::string secret = token;
  if (secret.empty() || options_.login_stdin) {
    auto typed = read_secret("password of " + options_.user, options_.login_stdin, false);
    if (!typed) return kUsage;
    secret = *std::move(typed);
  }
  authorization_ = "Basic " + encode_base64(as_bytes(options_.user + ":" + secret));
  return std::nullopt;
}

std::variant<HttpAnswer, int> Session::exchange(const std::string& method, const std::string& path,
                                                const std::string& what, const json* body) const {
  HttpRequest request;
  request.method = method;
  request.timeout = options_.timeout;
  request.ca_file = options_.ca_file;
  request.authorization = authorization_;
  request.url = (local() ? "http://localhost" : options_.server) + path;
  if (body != nullptr) request.json = body->dump(-1, ' ', false, json::error_handler_t::replace);
  std::optional<SocketPath> fitting;
  if (local()) {
    auto opened = SocketPath::open(options_.socket);
    if (!opened) return report(what, Unreachable{opened.error().message}, program_);
    fitting.emplace(*std::move(opened));
    request.socket = fitting->text();
    request.use_proxy = false;
  }
  auto answered = send(request);
  if (const auto* gone = std::get_if<Unreachable>(&answered)) return report(what, *gone, program_);
  auto& answer = std::get<HttpAnswer>(answered);
  if (code_of(answer.status) != kOk) return report_failure(what, answer);
  return std::move(answer);
}

Session::Answer Session::call(const std::string& method, const std::string& path, const std::string& what,
                              const json* body) const {
  const auto exchanged = exchange(method, path, what, body);
  if (const auto* failed = std::get_if<int>(&exchanged)) return *failed;
  const auto& answer = std::get<HttpAnswer>(exchanged);
  if (answer.body.empty()) return json();
  auto parsed = json::parse(answer.body, nullptr, false);
  if (parsed.is_discarded()) {
    program_.err << "berth: " << harmless(what) << ": the answer is not JSON; is this a berth?\n";
    return static_cast<int>(kFailure);
  }
  return parsed;
}

int Session::report_failure(const std::string& what, const HttpAnswer& answer) const {
  const int code = report(harmless(what), answer, program_);
  if (answer.status == 401)
    program_.err << (authorization_.empty() ? "log in with --user NAME, or with a token in BERTH_TOKEN\n"
                                            : "the server does not take this user and secret\n");
  return code;
}

Session::Answer Session::list(const std::string& path, const std::string& what, const Parameters& parameters) const {
  json items = json::array();
  std::string query = "?n=1000", last;
  for (const auto& [name, value] : parameters) query += "&" + name + "=" + encode(value);
  for (std::size_t page = 0; page < kPagesMax; ++page) {
    auto answered = call("GET", path + query + (last.empty() ? "" : "&last=" + encode(last)), what);
    if (std::holds_alternative<int>(answered)) return answered;
    auto& body = std::get<json>(answered);
    if (!body.is_object() || !body.contains("items") || !body["items"].is_array()) {
      program_.err << "berth: " << harmless(what) << ": the answer is not a list\n";
      return static_cast<int>(kFailure);
    }
    for (auto& item : body["items"]) items.push_back(std::move(item));
    const auto next = body.value("next", json());
    // A server that says there is more must bring us further, or this would not end.
    if (!next.is_string() || next == "" || next == last) return items;
    last = next.get<std::string>();
  }
  return items;
}

std::optional<std::string> Session::read_secret(const std::string& name, bool from_stdin, bool repeat) const {
  std::string secret;
  if (from_stdin) {
    if (!std::getline(program_.in, secret) || secret.empty()) {
      usage("the standard input has no " + name);
      return std::nullopt;
    }
    if (secret.ends_with('\r')) secret.pop_back();
    return secret;
  }
  const auto ask = [this](const std::string& prompt) {
    return program_.read_secret ? program_.read_secret(prompt) : std::nullopt;
  };
  auto typed = ask(name + ": ");
  if (!typed) {
    usage("the " + name + " cannot be asked for: there is no terminal; give it on the standard input");
    return std::nullopt;
  }
  if (typed->empty()) {
    usage("an empty password is none; nothing was changed");
    return std::nullopt;
  }
  if (repeat && ask(name + " again: ") != typed) {
    usage("the two differ; nothing was changed");
    return std::nullopt;
  }
  return typed;
}

bool Session::confirm(const std::string& question, const std::string& name, bool yes) const {
  if (yes) return true;
  if (!program_.interactive) {
    usage(question + "; say --yes to confirm");
    return false;
  }
  program_.err << "berth: " << harmless(question) << ". Type " << harmless(name) << " to confirm: " << std::flush;
  std::string typed;
  std::getline(program_.in, typed);
  if (typed == name) return true;
  usage("not confirmed; nothing was changed");
  return false;
}

int Session::usage(const std::string& problem) const { return cli::usage(problem, program_); }

void Session::say(const std::string& text) const {
  if (!options_.quiet) program_.err << harmless(text) << '\n';
}

}  // namespace berth::cli
