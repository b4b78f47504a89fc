#include "api/admin/forms.h"

#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

struct Word {
  registry::ActionMask bit;
  auth::Action action;
  std::string_view text;
};
constexpr Word kWords[] = {{registry::action::pull, auth::Action::pull, "pull"},
                           {registry::action::push, auth::Action::push, "push"},
                           {registry::action::overwrite, auth::Action::overwrite, "overwrite"},
                           {registry::action::remove, auth::Action::delete_, "delete"},
                           {registry::action::admin, auth::Action::admin, "admin"},
                           {registry::action::metrics, auth::Action::metrics, "metrics"}};

template <class Patterns>
Out texts_of(const Patterns& patterns) {
  Out list = Out::array();
  for (const auto& pattern : patterns) list.push_back(pattern.text());
  return list;
}

std::string decimal(std::uint64_t number) { return std::to_string(number); }

}  // namespace

Out form_of(WallTime time) { return time == WallTime{} ? Out() : Out(format_rfc3339(time)); }

Out form_of_actions(registry::ActionMask actions) {
  Out list = Out::array();
  for (const Word& word : kWords) {
    if ((actions & word.bit) != 0) list.push_back(word.text);
  }
  return list;
}

Out form_of_actions(auth::Actions actions) {
  Out list = Out::array();
  for (const Word& word : kWords) {
    if (actions.has(word.action)) list.push_back(word.text);
  }
  return list;
}

Out form_of(const registry::Ceiling& ceiling) {
  if (!ceiling) return {};
  Out lines = Out::array();
  for (const registry::CeilingEntry& entry : *ceiling) {
    Out line;
    line["repositories"] = entry.repositories;
    line["actions"] = form_of_actions(entry.actions);
    lines.push_back(std::move(line));
  }
  return lines;
}

Out form_of(const auth::Ceiling& ceiling) {
  Out lines = Out::array();
  for (const auth::Ceiling::Scope& scope : ceiling.scopes) {
    Out line;
    line["repositories"] = texts_of(scope.repositories);
    line["actions"] = form_of_actions(scope.actions);
    lines.push_back(std::move(line));
  }
  return lines;
}

Out form_of(const registry::User& user) {
  Out out;
  out["name"] = user.name;
  out["subject"] = registry::user_subject(user.name);
  out["id"] = decimal(user.actor);
  out["version"] = decimal(user.version);
  out["enabled"] = user.enabled;
  out["display_name"] = user.display_name;
  out["email"] = user.email;
  out["groups"] = user.groups;
  out["created_at"] = form_of(user.created_at);
  out["password_changed_at"] = form_of(user.password_changed_at);
  out["last_login_at"] = form_of(user.last_login_at);
  return out;
}

Out form_of(const registry::Group& group) {
  Out out;
  out["name"] = group.name;
  out["subject"] = registry::group_subject(group.name);
  out["id"] = decimal(group.id);
  out["version"] = decimal(group.version);
  out["description"] = group.description;
  out["outside_members"] = group.members;
  out["created_at"] = form_of(group.created_at);
  return out;
}

Out form_of(const registry::Credential& credential) {
  Out out;
  out["id"] = decimal(credential.id);
  out["name"] = credential.name;
  out["scope"] = form_of(credential.ceiling);
  if (credential.kind == registry::CredentialKind::refresh_token) {
    out["service"] = credential.service;
    out["client_id"] = credential.client_id;
  }
  out["created_at"] = form_of(credential.created_at);
  out["expires_at"] = form_of(credential.expires_at);
  out["last_used_at"] = form_of(credential.last_used_at);
  return out;
}

Out form_of(const registry::Robot& robot) {
  Out out;
  out["name"] = robot.name;
  out["subject"] = registry::robot_subject(robot.name);
  out["id"] = decimal(robot.actor);
  out["version"] = decimal(robot.version);
  out["enabled"] = robot.enabled;
  out["description"] = robot.description;
  out["scope"] = form_of(robot.ceiling);
  out["created_at"] = form_of(robot.created_at);
  out["expires_at"] = form_of(robot.expires_at);
  out["last_used_at"] = form_of(robot.last_used_at);
  out["secrets"] = forms_of(robot.secrets);
  return out;
}

Out form_of(const registry::StoredGrant& grant) {
  const registry::GrantContent& content = grant.content;
  Out out;
  out["id"] = decimal(grant.id);
  out["origin"] = "stored";
  out["version"] = decimal(grant.version);
  out["subjects"] = content.subjects;
  out["repositories"] = content.repositories;
  out["role"] = content.role.empty() ? Out() : Out(content.role);
  out["actions"] = content.role.empty() ? form_of_actions(content.actions) : Out();
  out["tags"] = content.tags;
  out["description"] = content.description;
  out["created_at"] = form_of(grant.created_at);
  out["created_by"] = decimal(grant.created_by);
  return out;
}

Out form_of_configured(const auth::Grant& grant, const std::string& id) {
  Out out;
  out["id"] = id;
  out["origin"] = "config";
  out["version"] = Out();
  out["subjects"] = grant.subjects;
  out["repositories"] = texts_of(grant.repositories);
  out["role"] = grant.role.empty() ? Out() : Out(grant.role);
  out["actions"] = grant.role.empty() ? form_of_actions(grant.actions) : Out();
  out["tags"] = texts_of(grant.tags);
  out["description"] = "";
  out["created_at"] = Out();
  out["created_by"] = Out();
  return out;
}

}  // namespace berth::api::admin
