// `berth repo …`, `berth tag …`: over the HTTP API of a running server.
#include <algorithm>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/answers.h"
#include "cli/commands.h"
#include "cli/http_client.h"

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
int list_names(const RemoteCall& call, const std::string& path, const char* member, const std::string& what,
               const Program& program) {
  if (!may_be_server(call.server)) return usage(wrong_server(call.server), program);
  HttpRequest request;
  request.timeout = call.timeout;
  std::string last;
  bool first = true;
  // Once names are out, a failure means that the list is not whole.
  auto ended = [&](int code) { return first ? code : static_cast<int>(kPartly); };
  while (true) {
    request.url = call.server + path + "?n=1000" + (last.empty() ? "" : "&last=" + encode(last));
    auto answered = send(request);
    if (auto* gone = std::get_if<Unreachable>(&answered)) return ended(report(what, *gone, program));
    const auto& answer = std::get<HttpAnswer>(answered);
    if (answer.status != 200) return ended(report(what, answer, program));
    auto body = nlohmann::json::parse(answer.body, nullptr, false);
    if (!body.is_object() || !body.contains(member) || !body[member].is_array()) {
      program.err << "berth: " << what << ": the answer is not a list\n";
      return ended(kFailure);
    }
    std::string before = last;
    for (const auto& name : body[member]) {
      if (!name.is_string()) continue;
      last = name.get<std::string>();
      if (call.output == Output::json)
        program.out << (first ? "[\n  " : ",\n  ") << name.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
      else
        program.out << harmless(last) << '\n';
      first = false;
    }
    // A server that says there is more must bring us further, or this would not end.
    if (answer.link.empty() || last <= before) break;
  }
  if (call.output == Output::json) program.out << (first ? "[]\n" : "\n]\n");
  return kOk;
}

}  // namespace

int list_repositories(const RemoteCall& call, const Program& program) {
  return list_names(call, "/v2/_catalog", "repositories", call.server, program);
}

int list_tags(const RemoteCall& call, const std::string& repository, const Program& program) {
  if (!may_be_repository(repository)) return usage(repository + ": not the name of a repository", program);
  return list_names(call, "/v2/" + repository + "/tags/list", "tags", repository, program);
}

int remove_repository(const RemoteCall& call, const std::string& repository, bool yes, const Program& program) {
  if (!may_be_repository(repository)) return usage(repository + ": not the name of a repository", program);
  if (!may_be_server(call.server)) return usage(wrong_server(call.server), program);
  if (!yes) {
    if (!program.interactive) return usage("repo rm deletes all of " + repository + "; say --yes to confirm", program);
    program.err << "Delete the repository " << repository << " on " << call.server
                << " with all its tags? Type its name to confirm: " << std::flush;
    std::string typed;
    std::getline(program.in, typed);
    if (typed != repository) return usage("not confirmed; nothing was deleted", program);
  }
  HttpRequest request;
  request.method = "DELETE";
  request.timeout = call.timeout;
  request.url = call.server + "/api/v1/repositories/" + repository;
  auto answered = send(request);
  if (auto* gone = std::get_if<Unreachable>(&answered)) return report(repository, *gone, program);
  const auto& answer = std::get<HttpAnswer>(answered);
  if (code_of(answer.status) != kOk) return report(repository, answer, program);
  program.err << "deleted " << repository << '\n';
  return kOk;
}

}  // namespace berth::cli
