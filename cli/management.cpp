#include "cli/management.h"

#include <spdlog/fmt/chrono.h>

#include <CLI/CLI.hpp>
#include <ostream>

#include "cli/answers.h"

namespace berth::cli {

/// The options that all commands share.
struct Management::Typed {
  std::string config, data, socket, server, user, ca, timeout;
  std::string output = "table";
  bool login_stdin = false, quiet = false;
};

namespace {

constexpr auto kExpiryMax = std::chrono::hours(24 * 366 * 100);

std::string value_or(const std::map<std::string, std::string>& environment, const std::string& name,
                     const std::string& typed) {
  if (!typed.empty()) return typed;
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

}  // namespace

Management::Management(CLI::App& app) : typed_(std::make_unique<Typed>()) {
  add_repository_commands(app, *this);
  add_user_commands(app, *this);
  add_group_commands(app, *this);
  add_robot_commands(app, *this);
  add_token_commands(app, *this);
  add_role_commands(app, *this);
  add_grant_commands(app, *this);
  add_access_commands(app, *this);
  add_switch_commands(app, *this);
  add_metrics_command(app, *this);
}

Management::~Management() = default;

CLI::App* Management::command(CLI::App& parent, const std::string& name, const std::string& help, Work work) {
  auto* command = parent.add_subcommand(name, help);
  auto& typed = *typed_;
  const auto where = "Where the server is";
  auto* data = command->add_option("--data", typed.data, "its data directory, whose local socket is asked (default: as set)");
  data->type_name("DIR")->group(where);
  auto* config = command->add_option("--config", typed.config, "its configuration file (default: $BERTH_CONFIG)");
  config->type_name("FILE")->group(where);
  auto* socket = command->add_option("--socket", typed.socket, "its local socket itself");
  socket->type_name("PATH")->group(where);
  auto* server = command->add_option("--server", typed.server, "its URL (default: $BERTH_SERVER), in place of the socket");
  server->type_name("URL")->group(where)->excludes(data)->excludes(config)->excludes(socket);
  command->add_option("--ca", typed.ca, "trust the authorities of this file (PEM)")->type_name("FILE")->group(where);
  command->add_option("--user", typed.user, "log in as this user (default: with the token in $BERTH_TOKEN)")
      ->type_name("NAME")
      ->group(where);
  command->add_flag("--login-stdin", typed.login_stdin, "the first line of the standard input is the user's password")
      ->group(where);
  command->add_option("--timeout", typed.timeout, "how long to wait for an answer (default: 30s)")
      ->type_name("DURATION")
      ->group(where);
  command->add_option("-o,--output", typed.output, "table or json")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"table", "json"}));
  command->add_flag("-q,--quiet", typed.quiet, "names, ids and secrets alone, one a line, and no talk");
  commands_.push_back({command, std::move(work)});
  return command;
}

CLI::App* Management::open_command(CLI::App& parent, const std::string& name, const std::string& help, Work work) {
  auto* made = command(parent, name, help, std::move(work));
  commands_.back().open = true;
  return made;
}

std::optional<int> Management::run(const Program& program) const {
  for (const auto& [command, work, open] : commands_) {
    if (!command->parsed()) continue;
    SessionOptions options;
    const std::string file = value_or(program.environment, "BERTH_CONFIG", typed_->config);
    if (!file.empty()) options.sources.file = file;
    options.sources.environment = program.environment;
    if (!typed_->data.empty()) options.sources.flags.emplace_back("data.directory", typed_->data);
    const bool here = !typed_->data.empty() || !typed_->config.empty() || !typed_->socket.empty();
    options.server = here ? "" : value_or(program.environment, "BERTH_SERVER", typed_->server);
    options.socket = typed_->socket;
    if (open && !here) options.server_else = "http://127.0.0.1:5000";
    options.user = typed_->user;
    options.login_stdin = typed_->login_stdin;
    options.ca_file = typed_->ca;
    options.output = typed_->output == "json" ? Output::json : Output::table;
    options.quiet = typed_->quiet;
    if (!typed_->timeout.empty()) {
      const auto parsed = config::parse_duration(typed_->timeout);
      if (!parsed || parsed->count() == 0 || *parsed > std::chrono::hours(24))
        return usage("--timeout " + typed_->timeout + ": expected a duration of at most 24h, as 30s", program);
      options.timeout = *parsed;
    }
    auto session = Session::open(options, program);
    if (const auto* failed = std::get_if<int>(&session)) return *failed;
    return work(std::get<Session>(session));
  }
  return std::nullopt;
}

std::vector<std::string> split_commas(const std::vector<std::string>& texts) {
  std::vector<std::string> parts;
  for (const auto& text : texts) {
    for (std::size_t at = 0; at <= text.size();) {
      const auto comma = std::min(text.find(',', at), text.size());
      if (comma > at) parts.push_back(text.substr(at, comma - at));
      at = comma + 1;
    }
  }
  return parts;
}

Result<ScopeText> parse_scope(const std::string& text) {
  const auto colon = text.rfind(':');
  ScopeText scope;
  if (colon != text.npos) {
    scope.repository = text.substr(0, colon);
    scope.actions = split_commas({text.substr(colon + 1)});
  }
  if (scope.repository.empty() || scope.actions.empty())
    return make_error(ErrorCode::request_invalid,
                      fmt::format("--scope {}: expected REPOSITORIES:ACTIONS, as team/**:pull,push", text));
  return scope;
}

Result<std::string> expiry_of(const std::string& text, std::chrono::system_clock::time_point now) {
  if (text == "never") return std::string();
  const auto lifetime = config::parse_duration(text);
  if (!lifetime || lifetime->count() == 0 || *lifetime > kExpiryMax)
    return make_error(ErrorCode::request_invalid, fmt::format("--expires {}: expected a duration, as 90d, or never", text));
  const auto at = std::chrono::time_point_cast<std::chrono::seconds>(now + *lifetime);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(at)));
}

}  // namespace berth::cli
