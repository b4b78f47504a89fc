// What is asked of a running server: `berth repo|tag …`, and who may come in and do what, `berth
// user|group|robot|token|role|grant|access …`.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/session.h"

namespace CLI {
class App;
}

namespace berth::cli {

/// Adds the commands to a tree, and does the one that was typed.
class Management {
 public:
  explicit Management(CLI::App& app);
  ~Management();

  /// After parsing. nullopt: it was none of these.
  std::optional<int> run(const Program& program) const;

  using Work = std::function<int(const Session&)>;
  /// A command with the options that all have: where the server is, who asks, how answers look.
  CLI::App* command(CLI::App& parent, const std::string& name, const std::string& help, Work work);
  /// One that needs no account: without a word about where, and without a local socket, it asks 127.0.0.1:5000.
  CLI::App* open_command(CLI::App& parent, const std::string& name, const std::string& help, Work work);

 private:
  struct Typed;
  const std::unique_ptr<Typed> typed_;
  struct Command {
    const CLI::App* app;
    Work work;
    bool open = false;
  };
  std::vector<Command> commands_;
};

void add_repository_commands(CLI::App& app, Management& management);
void add_user_commands(CLI::App& app, Management& management);
void add_group_commands(CLI::App& app, Management& management);
void add_robot_commands(CLI::App& app, Management& management);
void add_token_commands(CLI::App& app, Management& management);
void add_role_commands(CLI::App& app, Management& management);
void add_grant_commands(CLI::App& app, Management& management);
void add_access_commands(CLI::App& app, Management& management);
void add_switch_commands(CLI::App& app, Management& management);
void add_metrics_command(CLI::App& app, Management& management);

/// "team/**:pull,push": what one line of a token's or robot's limit says.
struct ScopeText {
  std::string repository;
  std::vector<std::string> actions;
};
/// Errors: request_invalid, a sentence.
Result<ScopeText> parse_scope(const std::string& text);

/// The parts between commas, without empty ones.
std::vector<std::string> split_commas(const std::vector<std::string>& texts);

/// "90d", or "never" → RFC 3339 in UTC, or empty. Errors: request_invalid, a sentence.
Result<std::string> expiry_of(const std::string& text, std::chrono::system_clock::time_point now);

}  // namespace berth::cli
