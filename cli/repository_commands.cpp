// `berth repo …`, `berth tag …`: over the HTTP API of a running server.
#include <algorithm>
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/answers.h"
#include "cli/management.h"

namespace berth::cli {
namespace {

/// Keeps a name from becoming another path; the server has the last word on the grammar.
bool may_be_repository(const std::string& name) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '/';
  };
  return !name.empty() && name.size() <= 255 && name.front() != '/' && name.back() != '/' &&
         name.find("//") == name.npos && name.find("..") == name.npos &&
         std::all_of(name.begin(), name.end(), allowed);
}

/// Walks a paged list and writes each name as it comes, so that any length fits. `path` without a query.
int list_names(const std::string& path, const char* member, const std::string& what, const Session& session) {
  std::string last;
  bool first = true;
  // Once names are out, a failure means that the list is not whole.
  auto ended = [&](int code) { return first ? code : static_cast<int>(kPartly); };
  while (true) {
    const auto answered = session.exchange("GET", path + "?n=1000" + (last.empty() ? "" : "&last=" + encode(last)), what);
    if (const auto* failed = std::get_if<int>(&answered)) return ended(*failed);
    const auto& answer = std::get<HttpAnswer>(answered);
    auto body = nlohmann::json::parse(answer.body, nullptr, false);
    if (!body.is_object() || !body.contains(member) || !body[member].is_array()) {
      session.err() << "berth: " << what << ": the answer is not a list\n";
      return ended(kFailure);
    }
    std::string before = last;
    for (const auto& name : body[member]) {
      if (!name.is_string()) continue;
      last = name.get<std::string>();
      if (session.as_json())
        session.out() << (first ? "[\n  " : ",\n  ") << name.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
      else
        session.out() << harmless(last) << '\n';
      first = false;
    }
    // A server that says there is more must bring us further, or this would not end.
    if (answer.link.empty() || last <= before) break;
  }
  if (session.as_json()) session.out() << (first ? "[]\n" : "\n]\n");
  return kOk;
}

int list_tags(const std::string& repository, const Session& session) {
  if (!may_be_repository(repository)) return session.usage(repository + ": not the name of a repository");
  return list_names("/v2/" + repository + "/tags/list", "tags", repository, session);
}

int remove_repository(const std::string& repository, bool yes, const Session& session) {
  if (!may_be_repository(repository)) return session.usage(repository + ": not the name of a repository");
  if (!session.confirm("this deletes the repository " + repository + " with all its tags", repository, yes)) return kUsage;
  const auto answered = session.exchange("DELETE", "/api/v1/repositories/" + repository, repository);
  if (const auto* failed = std::get_if<int>(&answered)) return *failed;
  session.say("deleted " + repository);
  return kOk;
}

}  // namespace

void add_repository_commands(CLI::App& app, Management& management) {
  struct Call {
    std::string repository;
    bool yes = false;
  };
  const auto call = std::make_shared<Call>();
  auto* repo = app.add_subcommand("repo", "repositories of a running server");
  repo->require_subcommand(1);
  management.open_command(*repo, "ls", "list them",
                          [](const Session& s) { return list_names("/v2/_catalog", "repositories", "repositories", s); });
  auto* rm = management.open_command(*repo, "rm", "delete one with all its tags",
                                     [call](const Session& s) { return remove_repository(call->repository, call->yes, s); });
  rm->add_option("name", call->repository, "its name, as team/app")->required();
  rm->add_flag("--yes", call->yes, "do not ask");
  auto* tag = app.add_subcommand("tag", "tags of a repository");
  tag->require_subcommand(1);
  auto* ls = management.open_command(*tag, "ls", "list them", [call](const Session& s) { return list_tags(call->repository, s); });
  ls->add_option("name", call->repository, "the repository, as team/app")->required();
}

}  // namespace berth::cli
