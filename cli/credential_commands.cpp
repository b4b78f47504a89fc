// `berth robot …`, `berth token …`: what programs log in with.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/answers.h"
#include "cli/management.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr Field kRobotColumns[] = {{"NAME", "name"}, {"ENABLED", "enabled"}, {"DESCRIPTION", "description"},
                                   {"EXPIRES", "expires_at"}, {"LAST USED", "last_used_at"}};
constexpr Field kRobotLines[] = {{"name", "name"},
                                 {"enabled", "enabled"},
                                 {"description", "description"},
                                 {"limited to", "scope"},
                                 {"made", "created_at"},
                                 {"expires", "expires_at"},
                                 {"last used", "last_used_at"}};
constexpr Field kCredentialColumns[] = {{"ID", "id"}, {"NAME", "name"}, {"LIMITED TO", "scope"},
                                        {"MADE", "created_at"}, {"EXPIRES", "expires_at"}, {"LAST USED", "last_used_at"}};
constexpr Field kSecretColumns[] = {
    {"SECRET ID", "id"}, {"MADE", "created_at"}, {"EXPIRES", "expires_at"}, {"LAST USED", "last_used_at"}};
constexpr Field kMadeLines[] = {{"name", "name"}, {"id", "id"}, {"secret", "secret"}, {"expires", "expires_at"}};

const std::string kRobots = "/api/v1/robots";

struct CredentialCall {
  std::string name, id, owner, expires;
  bool all = false;
  std::optional<std::string> description;
  std::vector<std::string> scopes;
  bool yes = false;
};

/// What of a new credential was typed; `expiry` is the member that says until when. nullopt: something is wrong, and was
/// told.
std::optional<json> limits(const CredentialCall& call, const std::string& expiry, const Session& session) {
  json body = json::object();
  if (!call.expires.empty()) {
    const auto until = expiry_of(call.expires, session.now());
    if (!until) {
      session.usage(until.error().message);
      return std::nullopt;
    }
    body[expiry] = until->empty() ? json() : json(*until);
  }
  for (const auto& text : call.scopes) {
    const auto scope = parse_scope(text);
    if (!scope) {
      session.usage(scope.error().message);
      return std::nullopt;
    }
    const json line = {{"repositories", {scope->repository}}, {"actions", scope->actions}};
    body["scope"].push_back(line);
  }
  return body;
}

/// A secret is data: it goes to the standard output, once. `lines`: what of the answer a person sees.
int show_secret(const json& answer, const json& lines, const std::string& said, const Session& session) {
  print_object(session, session.as_json() ? answer : lines, kMadeLines, "secret");
  session.say(said + "; the secret is not shown again");
  return kOk;
}

std::string robot_path(const CredentialCall& call) { return kRobots + "/" + encode(call.name); }

int add_robot(const CredentialCall& call, const Session& session) {
  auto body = limits(call, "secret_expires_at", session);
  if (!body) return kUsage;
  (*body)["name"] = call.name;
  if (call.description) (*body)["description"] = *call.description;
  const auto answered = session.call("POST", kRobots, "robot " + call.name, &*body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  const auto& robot = std::get<json>(answered);
  json lines = robot;
  lines.erase("id");  // the number of the robot, not of its secret
  if (robot.contains("secrets") && robot["secrets"].is_array() && !robot["secrets"].empty()) {
    lines["id"] = robot["secrets"][0].value("id", "");
    lines["expires_at"] = robot["secrets"][0].value("expires_at", json());
  }
  return show_secret(robot, lines, "made the robot " + call.name, session);
}

int rotate_robot(const CredentialCall& call, const Session& session) {
  const auto body = limits(call, "expires_at", session);
  if (!body) return kUsage;
  const auto answered = session.call("POST", robot_path(call) + "/secrets", "robot " + call.name, &*body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  auto lines = std::get<json>(answered);
  lines["name"] = call.name;
  return show_secret(std::get<json>(answered), lines,
                     "the robot " + call.name + " has a further secret; the one before works until berth robot revoke",
                     session);
}

int show_robot(const CredentialCall& call, const Session& session) {
  const auto answered = session.call("GET", robot_path(call), "robot " + call.name);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  const auto& robot = std::get<json>(answered);
  print_object(session, robot, kRobotLines, "name");
  if (session.as_json() || session.quiet() || !robot.is_object() || !robot.contains("secrets")) return kOk;
  session.out() << '\n';
  print_list(session, robot["secrets"], kSecretColumns, "id");
  return kOk;
}

int switch_robot(const CredentialCall& call, bool on, const Session& session) {
  const json body = {{"enabled", on}};
  const auto answered = session.call("PATCH", robot_path(call), "robot " + call.name, &body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.say((on ? "enabled the robot " : "disabled the robot ") + call.name);
  return kOk;
}

int revoke_secret(const CredentialCall& call, const Session& session) {
  const auto answered = session.call("DELETE", robot_path(call) + "/secrets/" + encode(call.id),
                                     "robot " + call.name + ", secret " + call.id);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.say("revoked the secret " + call.id + " of the robot " + call.name);
  return kOk;
}

int remove_robot(const CredentialCall& call, const Session& session) {
  if (!session.confirm("this removes the robot " + call.name + " with its secrets and grants", call.name, call.yes))
    return kUsage;
  const auto answered = session.call("DELETE", robot_path(call), "robot " + call.name);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.say("removed the robot " + call.name);
  return kOk;
}

const std::string kOwnTokens = "/api/v1/me/tokens";
const std::string kTokens = "/api/v1/tokens";

/// The local socket has no tokens of its own. False: that was told.
bool has_owner(const CredentialCall& call, const Session& session) {
  if (!call.owner.empty() || !session.local()) return true;
  session.usage("the local socket is no user's; say --for NAME");
  return false;
}

int create_token(const CredentialCall& call, const Session& session) {
  if (session.local())
    return session.usage("a token is made by who it is for; log in with --server URL --user NAME");
  auto body = limits(call, "expires_at", session);
  if (!body) return kUsage;
  (*body)["name"] = call.name;
  const auto answered = session.call("POST", kOwnTokens, "token " + call.name, &*body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  auto lines = std::get<json>(answered);
  lines["secret"] = lines.value("token", json());
  return show_secret(std::get<json>(answered), lines, "made the token " + call.name, session);
}

int list_tokens(const CredentialCall& call, const Session& session) {
  if (!has_owner(call, session)) return kUsage;
  const Parameters of_others = {{"owner", "user:" + call.owner}};
  const auto answered = call.owner.empty() ? session.list(kOwnTokens, "tokens")
                                           : session.list(kTokens, "tokens of " + call.owner, of_others);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  print_list(session, std::get<json>(answered), kCredentialColumns, "id");
  return kOk;
}

int revoke_token(const CredentialCall& call, const Session& session) {
  if (call.all != call.id.empty()) return session.usage("token revoke: say the token's id, or --all");
  if (!has_owner(call, session)) return kUsage;
  if (call.all && call.owner.empty()) return session.usage("token revoke: --all needs --for NAME");
  const std::string one = call.all ? "" : "/" + encode(call.id);
  const std::string path = call.owner.empty() ? kOwnTokens + one : kTokens + one + "?owner=" + encode("user:" + call.owner);
  const auto answered = session.call("DELETE", path, call.all ? "tokens of " + call.owner : "token " + call.id);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.say(call.all ? "revoked all tokens of " + call.owner : "revoked the token " + call.id);
  return kOk;
}

void add_expiry(CLI::App* command, const std::shared_ptr<CredentialCall>& call) {
  command->add_option("--expires", call->expires, "after how long it opens nothing any more, as 90d, or never (default: as "
                                                  "the server is set)")
      ->type_name("DURATION");
}

void add_limits(CLI::App* command, const std::shared_ptr<CredentialCall>& call) {
  add_expiry(command, call);
  command->add_option("--scope", call->scopes, "at most these rights, as team/**:pull,push; may repeat (default: all that "
                                               "its owner has)")
      ->type_name("REPOSITORIES:ACTIONS")
      ->allow_extra_args(false);
}

}  // namespace

void add_robot_commands(CLI::App& app, Management& management) {
  auto* robot = app.add_subcommand("robot", "programs that log in here");
  robot->require_subcommand(1);
  const auto call = std::make_shared<CredentialCall>();
  const auto named = [&](const std::string& name, const std::string& help, Management::Work work) {
    auto* command = management.command(*robot, name, help, std::move(work));
    command->add_option("name", call->name, "the robot's name")->required();
    return command;
  };
  auto* add = named("add", "make one and show its secret", [call](const Session& s) { return add_robot(*call, s); });
  add->add_option("--description", call->description, "what it is for")->type_name("TEXT");
  add_limits(add, call);
  management.command(*robot, "list", "list them", [](const Session& session) {
    const auto answered = session.list(kRobots, "robots");
    if (const auto* failed = std::get_if<int>(&answered)) return *failed;
    print_list(session, std::get<json>(answered), kRobotColumns, "name");
    return static_cast<int>(kOk);
  });
  named("show", "show one and which secrets it has", [call](const Session& s) { return show_robot(*call, s); });
  add_expiry(named("rotate", "make it a second secret and show it; the first goes on until it is revoked",
                   [call](const Session& s) { return rotate_robot(*call, s); }),
             call);
  auto* revoke = named("revoke", "make a secret useless at once", [call](const Session& s) { return revoke_secret(*call, s); });
  revoke->add_option("id", call->id, "the secret's id, as robot show has it")->required();
  named("enable", "let one in again", [call](const Session& s) { return switch_robot(*call, true, s); });
  named("disable", "let one in no more, from the next request on", [call](const Session& s) { return switch_robot(*call, false, s); });
  auto* remove = named("remove", "remove one with its secrets", [call](const Session& s) { return remove_robot(*call, s); });
  remove->add_flag("--yes", call->yes, "do not ask");
}

void add_token_commands(CLI::App& app, Management& management) {
  auto* token = app.add_subcommand("token", "personal tokens: a user's rights or less, for one purpose");
  token->require_subcommand(1);
  const auto call = std::make_shared<CredentialCall>();
  const auto add_owner = [call](CLI::App* command) {
    command->add_option("--for", call->owner, "whose, for administrators (default: who logs in)")->type_name("USER");
    return command;
  };
  auto* create = management.command(*token, "create", "make one and show it", [call](const Session& s) { return create_token(*call, s); });
  create->add_option("name", call->name, "what it is for")->required();
  add_limits(create, call);
  add_owner(management.command(*token, "list", "list them", [call](const Session& s) { return list_tokens(*call, s); }));
  auto* revoke = management.command(*token, "revoke", "make one useless at once", [call](const Session& s) { return revoke_token(*call, s); });
  auto* id = add_owner(revoke)->add_option("id", call->id, "its id, as token list has it");
  revoke->add_flag("--all", call->all, "all of a user, those of docker login too")->excludes(id);
}

}  // namespace berth::cli
