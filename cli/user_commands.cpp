// `berth user …`, `berth group …`: people, and what they are together.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/answers.h"
#include "cli/management.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr Field kUserColumns[] = {{"NAME", "name"}, {"ENABLED", "enabled"}, {"EMAIL", "email"}, {"GROUPS", "groups"},
                                  {"LAST LOGIN", "last_login_at"}};
constexpr Field kUserLines[] = {{"name", "name"},
                                {"enabled", "enabled"},
                                {"display name", "display_name"},
                                {"email", "email"},
                                {"groups", "groups"},
                                {"made", "created_at"},
                                {"password set", "password_changed_at"},
                                {"last login", "last_login_at"}};
constexpr Field kGroupColumns[] = {{"NAME", "name"}, {"DESCRIPTION", "description"}, {"MEMBERS FROM OUTSIDE", "outside_members"}};
constexpr Field kGroupLines[] = {
    {"name", "name"},
    {"description", "description"},
    {"users", "users"},
    {"members from outside", "outside_members"},
    {"made", "created_at"}};

const std::string kUsers = "/api/v1/users";
const std::string kGroups = "/api/v1/groups";

struct UserCall {
  std::string name, role, on = "**";
  std::optional<std::string> email, display_name;
  std::vector<std::string> groups;
  bool no_groups = false, password_stdin = false, no_password = false, yes = false, erase = false;
};

json what_is_set(const UserCall& call) {
  json body = json::object();
  if (call.email) body["email"] = *call.email;
  if (call.display_name) body["display_name"] = *call.display_name;
  if (!call.groups.empty()) body["groups"] = split_commas(call.groups);
  if (call.no_groups) body["groups"] = json::array();
  return body;
}

/// The user is there already: what goes wrong now leaves part of the work done.
int grant_role(const UserCall& call, const Session& session) {
  const json grant = {{"subjects", {"user:" + call.name}}, {"repositories", {call.on}}, {"role", call.role}};
  const auto answered = session.call("POST", "/api/v1/grants", "the role " + call.role, &grant);
  if (std::holds_alternative<json>(answered)) return kOk;
  session.err() << harmless("the user " + call.name + " was made, but got no rights; try: berth grant add --subject user:" +
                            call.name + " --repository '" + call.on + "' --role " + call.role)
                << '\n';
  return kPartly;
}

int add_user(const UserCall& call, const Session& session) {
  json body = what_is_set(call);
  body["name"] = call.name;
  if (!call.no_password) {
    const auto password = session.read_secret("password for " + call.name, call.password_stdin, true);
    if (!password) return kUsage;
    body["password"] = *password;
  }
  const auto answered = session.call("POST", kUsers, "user " + call.name, &body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  const int code = call.role.empty() ? static_cast<int>(kOk) : grant_role(call, session);
  if (session.as_json()) print_json(session.out(), std::get<json>(answered));
  if (code == kOk)
    session.say(call.role.empty() ? "made the user " + call.name + ", who has no rights yet: see berth grant add --help"
                                  : "made the user " + call.name + " with the role " + call.role + " on " + call.on);
  return code;
}

int change_user(const UserCall& call, const json& body, const std::string& said, const Session& session) {
  const auto answered = session.call("PATCH", kUsers + "/" + encode(call.name), "user " + call.name, &body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  if (session.as_json()) print_json(session.out(), std::get<json>(answered));
  session.say(said);
  return kOk;
}

int set_user(const UserCall& call, const Session& session) {
  const json body = what_is_set(call);
  if (body.empty()) return session.usage("user set: nothing to set; say --email, --display-name, --group or --no-groups");
  return change_user(call, body, "changed the user " + call.name, session);
}

int set_password(const UserCall& call, const Session& session) {
  json body = {{"password", nullptr}};
  if (!call.no_password) {
    const auto password = session.read_secret("new password for " + call.name, call.password_stdin, true);
    if (!password) return kUsage;
    body["password"] = *password;
  }
  return change_user(call, body, (call.no_password ? "took the password of " : "set the password of ") + call.name, session);
}

int remove_user(const UserCall& call, const Session& session) {
  if (!session.confirm("this removes the user " + call.name + " with all its tokens and grants", call.name, call.yes))
    return kUsage;
  const std::string query = call.erase ? "?erase=true" : "";
  const auto answered = session.call("DELETE", kUsers + "/" + encode(call.name) + query, "user " + call.name);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.say("removed the user " + call.name);
  return kOk;
}

struct GroupCall {
  std::string name;
  std::optional<std::string> description;
  std::vector<std::string> members;
  bool no_members = false, yes = false;
};

json what_is_set(const GroupCall& call) {
  json body = json::object();
  if (call.description) body["description"] = *call.description;
  if (!call.members.empty()) body["outside_members"] = call.members;
  if (call.no_members) body["outside_members"] = json::array();
  return body;
}

int write_group(const GroupCall& call, bool made, const Session& session) {
  json body = what_is_set(call);
  if (!made && body.empty())
    return session.usage("group set: nothing to set; say --description, --member or --no-members");
  if (made) body["name"] = call.name;
  const auto answered = session.call(made ? "POST" : "PATCH", made ? kGroups : kGroups + "/" + encode(call.name),
                                     "group " + call.name, &body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  if (session.as_json()) print_json(session.out(), std::get<json>(answered));
  session.say((made ? "made the group " : "changed the group ") + call.name);
  return kOk;
}

int show_group(const GroupCall& call, const Session& session) {
  const std::string path = kGroups + "/" + encode(call.name);
  auto answered = session.call("GET", path, "group " + call.name);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  const auto users = session.list(path + "/users", "users of the group " + call.name);
  if (const auto* failed = std::get_if<int>(&users)) return *failed;
  auto& group = std::get<json>(answered);
  group["users"] = json::array();
  for (const auto& user : std::get<json>(users)) group["users"].push_back(user.value("name", ""));
  print_object(session, group, kGroupLines, "name");
  return kOk;
}

int remove_group(const GroupCall& call, const Session& session) {
  if (!session.confirm("this removes the group " + call.name + " and its rights", call.name, call.yes)) return kUsage;
  const auto answered = session.call("DELETE", kGroups + "/" + encode(call.name), "group " + call.name);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.say("removed the group " + call.name);
  return kOk;
}

}  // namespace

void add_user_commands(CLI::App& app, Management& management) {
  auto* user = app.add_subcommand("user", "people who log in here");
  user->require_subcommand(1);
  const auto call = std::make_shared<UserCall>();
  const auto named = [&](const std::string& name, const std::string& help, Management::Work work) {
    auto* command = management.command(*user, name, help, std::move(work));
    command->add_option("name", call->name, "the user's name")->required();
    return command;
  };
  const auto add_facts = [call](CLI::App* command) {
    command->add_option("--email", call->email, "where to reach them")->type_name("ADDRESS");
    command->add_option("--display-name", call->display_name, "how to call them")->type_name("TEXT");
    return command->add_option("--group", call->groups, "a group they are in; may repeat")
        ->type_name("NAME")
        ->allow_extra_args(false);
  };
  const auto add_password = [call](CLI::App* command, const std::string& without) {
    auto* from_stdin = command->add_flag("--password-stdin", call->password_stdin,
                                         "the password is the next line of the standard input");
    command->add_flag("--no-password", call->no_password, without)->excludes(from_stdin);
  };

  auto* add = named("add", "make one; asks for the password", [call](const Session& s) { return add_user(*call, s); });
  add_facts(add);
  add_password(add, "it gets none, and cannot log in until it has one");
  auto* role = add->add_option("--role", call->role, "give it this role: reader, writer, maintainer, admin or an own one");
  role->type_name("ROLE");
  add->add_option("--on", call->on, "the repositories of that role (default: all)")->type_name("PATTERN")->needs(role);

  management.command(*user, "list", "list them", [](const Session& session) {
    const auto answered = session.list(kUsers, "users");
    if (const auto* failed = std::get_if<int>(&answered)) return *failed;
    print_list(session, std::get<json>(answered), kUserColumns, "name");
    return static_cast<int>(kOk);
  });
  named("show", "show one", [call](const Session& session) {
    const auto answered = session.call("GET", kUsers + "/" + encode(call->name), "user " + call->name);
    if (const auto* failed = std::get_if<int>(&answered)) return *failed;
    print_object(session, std::get<json>(answered), kUserLines, "name");
    return static_cast<int>(kOk);
  });
  auto* set = named("set", "change what is known of one", [call](const Session& s) { return set_user(*call, s); });
  auto* groups = add_facts(set);
  set->add_flag("--no-groups", call->no_groups, "take it out of all groups")->excludes(groups);
  named("enable", "let one in again", [call](const Session& session) {
    return change_user(*call, {{"enabled", true}}, "enabled the user " + call->name, session);
  });
  named("disable", "let one in no more, from the next request on", [call](const Session& session) {
    return change_user(*call, {{"enabled", false}}, "disabled the user " + call->name, session);
  });
  auto* passwd = named("passwd", "set the password; asks for it", [call](const Session& s) { return set_password(*call, s); });
  add_password(passwd, "take the password away");
  auto* remove = named("remove", "remove one with its tokens and grants", [call](const Session& s) { return remove_user(*call, s); });
  remove->add_flag("--erase-name", call->erase, "in histories too, where only a number stays");
  remove->add_flag("--yes", call->yes, "do not ask");
}

void add_group_commands(CLI::App& app, Management& management) {
  auto* group = app.add_subcommand("group", "users under one name, for grants");
  group->require_subcommand(1);
  const auto call = std::make_shared<GroupCall>();
  const auto named = [&](const std::string& name, const std::string& help, Management::Work work) {
    auto* command = management.command(*group, name, help, std::move(work));
    command->add_option("name", call->name, "the group's name")->required();
    return command;
  };
  const auto add_facts = [call](CLI::App* command) {
    command->add_option("--description", call->description, "what it is for")->type_name("TEXT");
    return command
        ->add_option("--member", call->members, "somebody from outside, as federated:ISSUER:SUBJECT or user:NAME of a "
                                                "directory; may repeat. Local users: berth user set NAME --group")
        ->type_name("SUBJECT")
        ->allow_extra_args(false);
  };
  add_facts(named("add", "make one", [call](const Session& s) { return write_group(*call, true, s); }));
  management.command(*group, "list", "list them", [](const Session& session) {
    const auto answered = session.list(kGroups, "groups");
    if (const auto* failed = std::get_if<int>(&answered)) return *failed;
    print_list(session, std::get<json>(answered), kGroupColumns, "name");
    return static_cast<int>(kOk);
  });
  named("show", "show one and who is in it", [call](const Session& s) { return show_group(*call, s); });
  auto* set = named("set", "change one", [call](const Session& s) { return write_group(*call, false, s); });
  auto* members = add_facts(set);
  set->add_flag("--no-members", call->no_members, "nobody from outside")->excludes(members);
  auto* remove = named("remove", "remove one", [call](const Session& s) { return remove_group(*call, s); });
  remove->add_flag("--yes", call->yes, "do not ask");
}

}  // namespace berth::cli
