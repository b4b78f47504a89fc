// Who asks which server: what all commands that manage a running berth have in common.
#pragma once

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/http_client.h"

namespace berth::cli {

/// As it was typed.
struct SessionOptions {
  config::Sources sources;     ///< where the data directory is
  std::string socket;          ///< the local socket; empty: the one in the data directory
  std::string server;          ///< URL; empty: by the local socket
  std::string server_else;     ///< URL to take when nobody answers at the local socket; empty: none
  std::string user;            ///< to log in with at `server`
  bool login_stdin = false;    ///< the first line of the standard input is that user's password
  std::string ca_file;
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  Output output = Output::table;
  bool quiet = false;
};

using Parameters = std::vector<std::pair<std::string, std::string>>;

/// One server and one identity, for one command. Errors were told on `program.err` when a member answers one.
class Session {
 public:
  /// Finds the server and the credentials, asking for a password when one is needed. Answers an ExitCode on failure.
  static std::variant<Session, int> open(const SessionOptions& options, const Program& program);

  /// A good answer (2xx), or an ExitCode. `what` begins the sentence that tells of a failure.
  std::variant<HttpAnswer, int> exchange(const std::string& method, const std::string& path, const std::string& what,
                                         const nlohmann::ordered_json* body = nullptr) const;
  /// The same for who only wants the JSON in it (null without a body).
  using Answer = std::variant<nlohmann::ordered_json, int>;
  Answer call(const std::string& method, const std::string& path, const std::string& what,
              const nlohmann::ordered_json* body = nullptr) const;
  /// All pages of a list.
  Answer list(const std::string& path, const std::string& what, const Parameters& parameters = {}) const;

  /// A secret that a person types, twice when `repeat`; or the next line of the standard input. nullopt: there is none,
  /// and `program.err` says why.
  std::optional<std::string> read_secret(const std::string& name, bool from_stdin, bool repeat) const;
  /// Asks "… ? Type NAME to confirm". Without a terminal only `yes` confirms.
  bool confirm(const std::string& question, const std::string& name, bool yes) const;

  int usage(const std::string& problem) const;
  /// Talk: on `program.err`, unless --quiet.
  void say(const std::string& text) const;

  Output output() const { return options_.output; }
  bool quiet() const { return options_.quiet; }
  bool as_json() const { return options_.output == Output::json; }
  std::ostream& out() const { return program_.out; }
  std::ostream& err() const { return program_.err; }
  /// Came by the local socket, which belongs to no user.
  bool local() const { return options_.server.empty(); }
  std::chrono::system_clock::time_point now() const { return std::chrono::system_clock::now(); }

 private:
  Session(SessionOptions options, const Program& program) : options_(std::move(options)), program_(program) {}
  std::optional<int> find_socket();
  std::optional<int> log_in();
  int report_failure(const std::string& what, const HttpAnswer& answer) const;

  SessionOptions options_;
  const Program& program_;
  std::string authorization_;
};

}  // namespace berth::cli
