#include "api/admin/openapi.h"

#include <algorithm>
#include <array>
#include <string>

#include "api/routes.h"

namespace berth::api::admin {

namespace {

using Out = nlohmann::ordered_json;

constexpr std::string_view kPage = "n,last";
constexpr std::string_view kPrefix = "/api/v1/";

// Columns: operation, tag, summary, query, body, status, answer, paged, if_match.
constexpr std::array kWords = {
    OperationWords{"set_up", "about", "The first administrator, by the set-up secret of the settings; once", "", "SetUp", 201,
                   "User"},
    OperationWords{"get_me", "me", "Who am I, and may I manage?", "", "", 200, "Me"},
    OperationWords{"list_own_tokens", "me", "My personal tokens", kPage, "", 200, "Token", true},
    OperationWords{"create_own_token", "me", "A new personal token; the answer alone shows it", "", "NewToken", 201,
                   "CreatedToken"},
    OperationWords{"revoke_own_token", "me", "End one of my tokens", "", "", 204},
    OperationWords{"explain_access", "access", "May somebody do something, and why?",
                   "subject_asked,action,repository,tag", "", 200, "Explanation"},
    OperationWords{"get_version", "about", "Which berth is this?", "", "", 200, "Version"},
    OperationWords{"get_openapi", "about", "This document", "", "", 200, "Document"},
    OperationWords{"list_certificates", "about", "What the listeners show, and until when it is good", "", "", 200,
                   "Certificate", true},
    OperationWords{"get_read_only", "operation", "Is content kept as it is?", "", "", 200, "ReadOnly"},
    OperationWords{"set_read_only", "operation", "Refuse pushes and deletes, or take them again, until the next start", "",
                   "NewReadOnly", 200, "ReadOnly"},
    OperationWords{"get_log_level", "operation", "How much is logged?", "", "", 200, "LogLevel"},
    OperationWords{"set_log_level", "operation", "Log more or less, until the next start", "", "NewLogLevel", 200,
                   "LogLevel"},
    OperationWords{"list_visible_repositories", "repositories", "The repositories that I may see", kPage, "", 200,
                   "Repository", true},
    OperationWords{"delete_repository", "repositories", "Delete a repository with all that is in it", "", "", 202},
    OperationWords{"list_users", "users", "Local users", kPage, "", 200, "User", true},
    OperationWords{"create_user", "users", "A new user", "", "NewUser", 201, "User"},
    OperationWords{"get_user", "users", "One user", "", "", 200, "User"},
    OperationWords{"update_user", "users", "Change a user; what is not named stays", "", "UserChange", 200, "User", false,
                   true},
    OperationWords{"delete_user", "users", "Delete a user, with tokens, memberships and mentions in grants", "erase", "",
                   204, "", false, true},
    OperationWords{"list_groups", "groups", "Groups", kPage, "", 200, "Group", true},
    OperationWords{"create_group", "groups", "A new group", "", "NewGroup", 201, "Group"},
    OperationWords{"get_group", "groups", "One group", "", "", 200, "Group"},
    OperationWords{"update_group", "groups", "Change a group; what is not named stays", "", "GroupChange", 200, "Group",
                   false, true},
    OperationWords{"delete_group", "groups", "Delete a group; nobody is its member any more", "", "", 204, "", false,
                   true},
    OperationWords{"list_group_users", "groups", "The local users in a group", kPage, "", 200, "GroupUser", true},
    OperationWords{"list_robots", "robots", "Robots", kPage, "", 200, "Robot", true},
    OperationWords{"create_robot", "robots", "A new robot with its first secret, which the answer alone shows", "",
                   "NewRobot", 201, "CreatedRobot"},
    OperationWords{"get_robot", "robots", "One robot", "", "", 200, "Robot"},
    OperationWords{"update_robot", "robots", "Change a robot; what is not named stays", "", "RobotChange", 200, "Robot",
                   false, true},
    OperationWords{"delete_robot", "robots", "Delete a robot", "", "", 204, "", false, true},
    OperationWords{"add_robot_secret", "robots",
                   "Another secret; two are good at once, so that the new one is in use before the old one is revoked", "",
                   "NewSecret", 201, "CreatedSecret"},
    OperationWords{"revoke_robot_secret", "robots", "End a secret", "", "", 204},
    OperationWords{"list_tokens", "tokens", "The tokens of somebody", "owner,kind,n,last", "", 200, "Token", true},
    OperationWords{"revoke_tokens", "tokens", "End all tokens of somebody, those of sessions among them", "owner", "", 200,
                   "Revoked"},
    OperationWords{"revoke_token", "tokens", "End a token of somebody", "owner,kind", "", 204},
    OperationWords{"list_roles", "roles", "Roles: built in, of the configuration, and stored", kPage, "", 200, "Role",
                   true},
    OperationWords{"create_role", "roles", "A new role", "", "NewRole", 201, "Role"},
    OperationWords{"get_role", "roles", "One role", "", "", 200, "Role"},
    OperationWords{"update_role", "roles", "Change a stored role; what is not named stays", "", "RoleChange", 200, "Role",
                   false, true},
    OperationWords{"delete_role", "roles", "Delete a stored role that no grant names", "", "", 204, "", false, true},
    OperationWords{"list_grants", "grants", "Grants: of the configuration, then stored", "subject,n,last", "", 200,
                   "Grant", true},
    OperationWords{"create_grant", "grants", "A new grant", "", "NewGrant", 201, "Grant"},
    OperationWords{"get_grant", "grants", "One grant", "", "", 200, "Grant"},
    OperationWords{"replace_grant", "grants", "Say anew what a stored grant gives", "", "NewGrant", 200, "Grant", false,
                   true},
    OperationWords{"delete_grant", "grants", "Take a stored grant away", "", "", 204, "", false, true},
};

Out reference(std::string_view kind, std::string_view name) {
  return Out{{"$ref", "#/components/" + std::string(kind) + "/" + std::string(name)}};
}

Out json_content(Out schema) { return Out{{"application/json", Out{{"schema", std::move(schema)}}}}; }

Out answer_schema(const OperationWords& words) {
  if (!words.paged) return reference("schemas", words.answer);
  Out page;
  page["type"] = "object";
  page["required"] = {"items", "next"};
  page["properties"]["items"] = Out{{"type", "array"}, {"items", reference("schemas", words.answer)}};
  page["properties"]["next"] = reference("schemas", "Next");
  return page;
}

/// The parameters of the path, from the left, then those of the query.
Out parameters_of(const Route& route, const OperationWords& words) {
  Out list = Out::array();
  for (std::size_t open = route.path.find('{'); open != std::string_view::npos; open = route.path.find('{', open + 1)) {
    const std::string_view name = route.path.substr(open + 1, route.path.find('}', open) - open - 1);
    list.push_back(reference("parameters", "path_" + std::string(name)));
  }
  std::string_view rest = words.query;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    list.push_back(reference("parameters", rest.substr(0, comma)));
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
  }
  if (words.if_match) list.push_back(reference("parameters", "if_match"));
  return list;
}

Out operation_of(const Route& route, const OperationWords& words) {
  Out operation;
  operation["operationId"] = words.operation;
  operation["tags"] = {words.tag};
  operation["summary"] = words.summary;
  if (Out parameters = parameters_of(route, words); !parameters.empty()) {
    operation["parameters"] = std::move(parameters);
  }
  if (!words.body.empty()) {
    operation["requestBody"] = Out{{"required", true}, {"content", json_content(reference("schemas", words.body))}};
  }
  Out& responses = operation["responses"];
  Out good{{"description", words.answer.empty() ? "Done" : "The answer"}};
  if (!words.answer.empty()) good["content"] = json_content(answer_schema(words));
  if (words.operation == "set_up") operation["security"] = Out::array();
  if (words.if_match || words.status == 201) {
    good["headers"]["ETag"] = Out{{"description", "The version, for If-Match, where there is one"},
                                  {"schema", Out{{"type", "string"}}}};
  }
  responses[std::to_string(words.status)] = std::move(good);
  responses["400"] = reference("responses", "Invalid");
  responses["401"] = reference("responses", "Unauthorized");
  responses["403"] = reference("responses", "Denied");
  const bool may_miss = route.path.find('{') != std::string_view::npos || words.operation == "set_up";
  if (may_miss) responses["404"] = reference("responses", "Unknown");
  if (route.method != Method::get) responses["409"] = reference("responses", "Conflict");
  if (words.if_match) responses["412"] = reference("responses", "Changed");
  responses["default"] = reference("responses", "Error");
  return operation;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Out error_responses() {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"Invalid", "The request cannot be understood, or asks for what is not allowed to be"},
      {"Unauthorized", "Show who you are"},
      {"Denied", "You may not do this"},
      {"Unknown", "There is no such thing"},
      {"Conflict", "What is there stands against it"},
      {"Changed", "If-Match names a version that is not the current one"},
      {"Error", "Another error"}};
  Out responses;
  for (const auto& [name, description] : kNames) {
    responses[std::string(name)] =
        Out{{"description", description}, {"content", json_content(reference("schemas", "Errors"))}};
  }
  return responses;
}

}  // namespace

std::span<const OperationWords> operation_words() { return kWords; }

nlohmann::ordered_json openapi_document() {
  Out document;
  document["openapi"] = "3.1.0";
  document["info"] = Out{{"title", "berth"},
                         {"version", "1"},
                         {"description", "Management of a berth registry: who may come in, and what they may do."}};
  document["security"] = Out::array({Out{{"basic", Out::array()}}, Out{{"bearer", Out::array()}}});
  Out& paths = document["paths"];
  for (const Route& route : route_table()) {
    if (!route.path.starts_with(kPrefix)) continue;
    const auto* const words = std::ranges::find(kWords, route.operation, &OperationWords::operation);
    if (words == kWords.end()) continue;
    paths[std::string(route.path)][lower(to_string(route.method))] = operation_of(route, *words);
  }
  Out& components = document["components"];
  components["schemas"] = Out::parse(openapi_schemas());
  components["parameters"] = Out::parse(openapi_parameters());
  components["responses"] = error_responses();
  components["securitySchemes"]["basic"] = Out{{"type", "http"}, {"scheme", "basic"}};
  components["securitySchemes"]["bearer"] = Out{{"type", "http"}, {"scheme", "bearer"}};
  return document;
}

}  // namespace berth::api::admin
