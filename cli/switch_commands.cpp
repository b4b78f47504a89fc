// `berth read-only …`, `berth log level`: what is switched while a server runs.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/answers.h"
#include "cli/management.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr Field kReadOnlyLines[] = {{"read-only", "read_only"}, {"switched by", "by"}, {"since", "since"}};
constexpr Field kLevelLines[] = {{"level", "level"}};

int set_read_only(bool on, const Session& session) {
  const json body = {{"read_only", on}};
  const auto answered = session.call("PUT", "/api/v1/read-only", "read-only", &body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  if (session.as_json()) print_json(session.out(), std::get<json>(answered));
  session.say(on ? "the registry is read-only: pushes and deletes are refused until `berth read-only off` or the next start"
                 : "the registry takes pushes and deletes");
  return kOk;
}

int show_read_only(const Session& session) {
  const auto answered = session.call("GET", "/api/v1/read-only", "read-only");
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  print_object(session, std::get<json>(answered), kReadOnlyLines, "read_only");
  return kOk;
}

int log_level(const std::string& level, const Session& session) {
  const json body = {{"level", level}};
  const auto answered = level.empty() ? session.call("GET", "/api/v1/log-level", "log level")
                                      : session.call("PUT", "/api/v1/log-level", "log level", &body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  if (level.empty() || session.as_json())
    print_object(session, std::get<json>(answered), kLevelLines, "level");
  else
    session.say("the log level is " + level + " until it is set again, or the next start");
  return kOk;
}

}  // namespace

void add_switch_commands(CLI::App& app, Management& management) {
  auto* read_only = app.add_subcommand("read-only", "keep content as it is while pulls go on");
  read_only->require_subcommand(1);
  management.command(*read_only, "on", "refuse pushes and deletes, collect nothing",
                     [](const Session& s) { return set_read_only(true, s); });
  management.command(*read_only, "off", "take pushes and deletes again",
                     [](const Session& s) { return set_read_only(false, s); });
  management.command(*read_only, "status", "say which it is, since when, and by whom", show_read_only);

  auto* log = app.add_subcommand("log", "the log of a running server");
  log->require_subcommand(1);
  const auto wanted = std::make_shared<std::string>();
  auto* level = management.command(*log, "level", "say the least important lines that are written, or set them",
                                   [wanted](const Session& s) { return log_level(*wanted, s); });
  level->add_option("level", *wanted, "trace, debug, info, warning or error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}));
}

}  // namespace berth::cli
