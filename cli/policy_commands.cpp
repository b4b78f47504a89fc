// `berth role …`, `berth grant …`, `berth access …`: who may do what, and why.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/answers.h"
#include "cli/management.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

using json = nlohmann::ordered_json;

constexpr Field kRoleColumns[] = {{"NAME", "name"}, {"ACTIONS", "actions"}, {"ORIGIN", "origin"}, {"DESCRIPTION", "description"}};
constexpr Field kRoleLines[] = {
    {"name", "name"}, {"actions", "actions"}, {"origin", "origin"}, {"description", "description"}, {"made", "created_at"}};
constexpr Field kGrantColumns[] = {{"ID", "id"},           {"ORIGIN", "origin"}, {"SUBJECTS", "subjects"},
                                   {"REPOSITORIES", "repositories"}, {"ROLE", "role"}, {"ACTIONS", "actions"},
                                   {"TAGS", "tags"},       {"DESCRIPTION", "description"}};

constexpr Field kVerdictColumns[] = {{"GRANT", "origin"}, {"RESULT", "why"}, {"SUBJECT", "subject"}, {"PATTERN", "pattern"}};
constexpr Field kMeLines[] = {{"subject", "subject"},
                              {"counts as", "subjects"},
                              {"came in by", "method"},
                              {"administrator", "administrator"},
                              {"limited to", "scope"}};

const std::string kRoles = "/api/v1/roles";
const std::string kGrants = "/api/v1/grants";

struct RoleCall {
  std::string name;
  std::vector<std::string> actions;
  std::optional<std::string> description;
  bool yes = false;
};

int add_role(const RoleCall& call, const Session& session) {
  json body = {{"name", call.name}, {"actions", split_commas(call.actions)}};
  if (call.description) body["description"] = *call.description;
  const auto answered = session.call("POST", kRoles, "role " + call.name, &body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  if (session.as_json()) print_json(session.out(), std::get<json>(answered));
  session.say("made the role " + call.name);
  return kOk;
}

int set_role(const RoleCall& call, const Session& session) {
  json body = json::object();
  if (!call.actions.empty()) body["actions"] = split_commas(call.actions);
  if (call.description) body["description"] = *call.description;
  if (body.empty()) return session.usage("role set: nothing to set; say --actions or --description");
  const auto answered = session.call("PATCH", kRoles + "/" + encode(call.name), "role " + call.name, &body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  if (session.as_json()) print_json(session.out(), std::get<json>(answered));
  session.say("changed the role " + call.name + "; every grant that names it is changed with it");
  return kOk;
}

int show_role(const RoleCall& call, const Session& session) {
  const auto answered = session.call("GET", kRoles + "/" + encode(call.name), "role " + call.name);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  print_object(session, std::get<json>(answered), kRoleLines, "name");
  return kOk;
}

int remove_role(const RoleCall& call, const Session& session) {
  if (!session.confirm("this removes the role " + call.name, call.name, call.yes)) return kUsage;
  const auto answered = session.call("DELETE", kRoles + "/" + encode(call.name), "role " + call.name);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.say("removed the role " + call.name);
  return kOk;
}

struct GrantCall {
  std::string id, role, subject;
  std::optional<std::string> description;
  std::vector<std::string> subjects, repositories, actions, tags;
  bool yes = false;
};

int add_grant(const GrantCall& call, const Session& session) {
  if (call.role.empty() == call.actions.empty()) return session.usage("grant add: say --role or --actions");
  json body = {{"subjects", call.subjects}, {"repositories", call.repositories}};
  if (call.role.empty())
    body["actions"] = split_commas(call.actions);
  else
    body["role"] = call.role;
  if (!call.tags.empty()) body["tags"] = call.tags;
  if (call.description) body["description"] = *call.description;
  const auto answered = session.call("POST", kGrants, "grant", &body);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  const auto& made = std::get<json>(answered);
  if (session.as_json())
    print_json(session.out(), made);
  else
    session.out() << harmless(text_of(made, "id")) << '\n';
  session.say("made the grant " + text_of(made, "id"));
  return kOk;
}

int list_grants(const GrantCall& call, const Session& session) {
  Parameters parameters;
  if (!call.subject.empty()) parameters.emplace_back("subject", call.subject);
  const auto answered = session.list(kGrants, "grants", parameters);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  print_list(session, std::get<json>(answered), kGrantColumns, "id");
  return kOk;
}

int remove_grant(const GrantCall& call, const Session& session) {
  if (!session.confirm("this removes the grant " + call.id, call.id, call.yes)) return kUsage;
  const auto answered = session.call("DELETE", kGrants + "/" + encode(call.id), "grant " + call.id);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.say("removed the grant " + call.id);
  return kOk;
}

struct AccessCall {
  std::string subject, action, repository, tag;
};

int explain_access(const AccessCall& call, const Session& session) {
  std::string query = "?subject=" + encode(call.subject) + "&action=" + encode(call.action);
  if (!call.repository.empty()) query += "&repository=" + encode(call.repository);
  if (!call.tag.empty()) query += "&tag=" + encode(call.tag);
  const auto answered = session.call("GET", "/api/v1/access/explain" + query, "access of " + call.subject);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  const auto& explained = std::get<json>(answered);
  if (session.as_json()) {
    print_json(session.out(), explained);
    return kOk;
  }
  const bool allowed = explained.is_object() && explained.value("allowed", json()) == true;
  session.out() << (allowed ? "yes" : "no");
  if (!session.quiet()) session.out() << ": " << harmless(text_of(explained, "reason"));
  session.out() << '\n';
  const auto grants = explained.is_object() ? explained.value("grants", json()) : json();
  if (session.quiet() || !grants.is_array() || grants.empty()) return kOk;
  session.out() << '\n';
  print_list(session, grants, kVerdictColumns, "origin");
  return kOk;
}

int show_me(const Session& session) {
  const auto answered = session.call("GET", "/api/v1/me", "me");
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  print_object(session, std::get<json>(answered), kMeLines, "subject");
  return kOk;
}

}  // namespace

void add_role_commands(CLI::App& app, Management& management) {
  auto* role = app.add_subcommand("role", "named sets of actions");
  role->require_subcommand(1);
  const auto call = std::make_shared<RoleCall>();
  const auto named = [&](const std::string& name, const std::string& help, Management::Work work) {
    auto* command = management.command(*role, name, help, std::move(work));
    command->add_option("name", call->name, "the role's name")->required();
    return command;
  };
  const auto add_facts = [call](CLI::App* command) {
    command->add_option("--description", call->description, "what it is for")->type_name("TEXT");
    return command->add_option("--actions", call->actions, "pull, push, overwrite, delete, admin, metrics; with commas between")
        ->type_name("ACTIONS")
        ->allow_extra_args(false);
  };
  add_facts(named("add", "make one", [call](const Session& s) { return add_role(*call, s); }))->required();
  add_facts(named("set", "change one", [call](const Session& s) { return set_role(*call, s); }));
  management.command(*role, "list", "list them, those that are built in too", [](const Session& session) {
    const auto answered = session.list(kRoles, "roles");
    if (const auto* failed = std::get_if<int>(&answered)) return *failed;
    print_list(session, std::get<json>(answered), kRoleColumns, "name");
    return static_cast<int>(kOk);
  });
  named("show", "show one", [call](const Session& s) { return show_role(*call, s); });
  auto* remove = named("remove", "remove one that no grant names", [call](const Session& s) { return remove_role(*call, s); });
  remove->add_flag("--yes", call->yes, "do not ask");
}

void add_grant_commands(CLI::App& app, Management& management) {
  auto* grant = app.add_subcommand("grant", "who may do what where");
  grant->require_subcommand(1);
  const auto call = std::make_shared<GrantCall>();
  const auto many = [](CLI::App* command, const std::string& name, std::vector<std::string>& into, const std::string& help,
                       const std::string& type) {
    return command->add_option(name, into, help)->type_name(type)->allow_extra_args(false);
  };
  auto* add = management.command(*grant, "add", "make one and show its id", [call](const Session& s) { return add_grant(*call, s); });
  many(add, "--subject", call->subjects,
       "to whom: user:NAME, robot:NAME, group:NAME, federated:ISSUER:SUBJECT, certificate:NAME, authenticated or anonymous; "
       "may repeat",
       "SUBJECT")
      ->required();
  many(add, "--repository", call->repositories, "on what, as team/app or team/**; may repeat", "PATTERN")->required();
  auto* role = add->add_option("--role", call->role, "reader, writer, maintainer, admin or an own one")->type_name("ROLE");
  many(add, "--actions", call->actions, "in place of a role: pull, push, overwrite, delete, admin, metrics", "ACTIONS")->excludes(role);
  many(add, "--tag", call->tags, "only tags like this may be written or deleted, as v*; may repeat", "PATTERN");
  add->add_option("--description", call->description, "what it is for")->type_name("TEXT");
  auto* list = management.command(*grant, "list", "list them, those of the configuration too", [call](const Session& s) { return list_grants(*call, s); });
  list->add_option("--subject", call->subject, "only those that name this subject")->type_name("SUBJECT");
  auto* remove = management.command(*grant, "remove", "remove one; the right ends at once", [call](const Session& s) { return remove_grant(*call, s); });
  remove->add_option("id", call->id, "its id, as grant list has it")->required();
  remove->add_flag("--yes", call->yes, "do not ask");
}

void add_access_commands(CLI::App& app, Management& management) {
  auto* access = app.add_subcommand("access", "why somebody may do something, or may not");
  access->require_subcommand(1);
  const auto call = std::make_shared<AccessCall>();
  auto* explain = management.command(*access, "explain", "say whether and why", [call](const Session& s) { return explain_access(*call, s); });
  explain->add_option("subject", call->subject, "user:NAME, robot:NAME, anonymous, …")->required();
  explain->add_option("action", call->action, "pull, push, overwrite, delete, admin or metrics")->required();
  explain->add_option("repository", call->repository, "where, as team/app");
  explain->add_option("--tag", call->tag, "which tag is written or deleted")->type_name("TAG");
  management.command(*access, "me", "say as whom one comes in, and by which way", show_me);
}

}  // namespace berth::cli
