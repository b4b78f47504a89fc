// /api/v1/roles: those that are built in, those of the configuration, and stored ones, which alone can be changed.
#include <algorithm>

#include "api/admin/administrators.h"
#include "api/admin/fields.h"
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

Out form_of_stored(const registry::Role& role) {
  Out out;
  out["name"] = role.name;
  out["origin"] = role.built_in() ? "built_in" : "stored";
  out["version"] = role.built_in() ? Out() : Out(std::to_string(role.version));
  out["actions"] = form_of_actions(role.actions);
  out["description"] = role.description;
  out["created_at"] = form_of(role.created_at);
  return out;
}

Out form_of_configured(const auth::Role& role) {
  Out out;
  out["name"] = role.name;
  out["origin"] = "config";
  out["version"] = Out();
  out["actions"] = form_of_actions(role.actions);
  out["description"] = "";
  out["created_at"] = Out();
  return out;
}

/// Among the roles of the policy, the stored ones are there too.
const auth::Role* find_in_policy(const Context& context, std::string_view name) {
  const auto roles = context.policy.roles();
  const auto found = std::ranges::find(roles, name, &auth::Role::name);
  return found == roles.end() ? nullptr : &*found;
}

Error no_such_role() { return make_error(registry::kIdentityUnknown, "there is no such role"); }

/// Errors: conflict() for one that is built in or configured, identity unknown.
Task<void> require_stored(Context& context, std::string name) {
  BERTH_CO_TRY(const auto role, co_await context.identities().find_role(name));
  if (role && role->built_in()) co_return conflict("the role " + name + " is built in and stays as it is");
  if (role) co_return Result<void>();
  if (find_in_policy(context, name) != nullptr) {
    co_return conflict("the role " + name + " stands in the configuration: change it there");
  }
  co_return no_such_role();
}

}  // namespace

Task<Response> list_roles(Context& context) {
  BERTH_CO_TRY(auto asked, page_asked(context));
  BERTH_CO_TRY(const auto page, co_await context.identities().list_roles(asked.n, asked.last));
  BERTH_CO_TRY(const auto stored, co_await context.identities().snapshot());
  std::vector<std::pair<std::string, Out>> roles;
  for (const registry::Role& role : page.items) roles.emplace_back(role.name, form_of_stored(role));
  // The page ends where the stored ones end, so that none is left out between two pages.
  const std::string end = page.more ? page.items.back().name : "";
  for (const auth::Role& role : context.policy.roles()) {
    const bool is_stored = std::ranges::find(stored->roles, role.name, &registry::Role::name) != stored->roles.end();
    if (is_stored || role.name <= asked.last || (!end.empty() && role.name > end)) continue;
    if (registry::find_built_in_role(role.name) == nullptr) roles.emplace_back(role.name, form_of_configured(role));
  }
  std::ranges::sort(roles, {}, [](const auto& role) -> const std::string& { return role.first; });
  const bool more = page.more || roles.size() > asked.n;
  if (roles.size() > asked.n) roles.resize(asked.n);
  Out items = Out::array();
  for (auto& [name, role] : roles) items.push_back(std::move(role));
  co_return json_answer(200, page_of(std::move(items), more ? roles.back().first : ""));
}

Task<Response> get_role(Context& context) {
  const std::string name = registry::lower_case(context.target.parts[0]);
  BERTH_CO_TRY(const auto role, co_await context.identities().find_role(name));
  if (role) co_return role->built_in() ? json_answer(200, form_of_stored(*role))
                                       : versioned_answer(200, form_of_stored(*role), role->version);
  const auth::Role* configured = find_in_policy(context, name);
  if (configured == nullptr) co_return no_such_role();
  co_return json_answer(200, form_of_configured(*configured));
}

Task<Response> create_role(Context& context) {
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  registry::NewRole role;
  role.name = registry::lower_case(fields.required_text("name"));
  role.actions = fields.required_actions("actions");
  role.description = fields.text("description").value_or("");
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_CHECK(registry::check_name(role.name, "name"));
  BERTH_CO_TRY(const auto made, co_await context.identities().create_role(context.actor, std::move(role)));
  co_return created_answer(form_of_stored(made), "/api/v1/roles/" + made.name, made.version);
}

Task<Response> update_role(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  registry::RoleChange change;
  change.actions = fields.actions("actions");
  change.description = fields.text("description");
  BERTH_CO_CHECK(fields.done());
  const std::string name = registry::lower_case(context.target.parts[0]);
  BERTH_CO_CHECK(co_await require_stored(context, name));
  if (change.actions) {
    AccessChange access{.role = name, .actions = *change.actions};
    BERTH_CO_CHECK(co_await check_administrators_stay(context, std::move(access)));
  }
  BERTH_CO_TRY(const auto changed,
               co_await context.identities().update_role(context.actor, name, std::move(change), version));
  co_return versioned_answer(200, form_of_stored(changed), changed.version);
}

Task<Response> delete_role(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  const std::string name = registry::lower_case(context.target.parts[0]);
  BERTH_CO_CHECK(co_await require_stored(context, name));
  BERTH_CO_CHECK(co_await context.identities().delete_role(context.actor, name, version));
  co_return no_content();
}

}  // namespace berth::api::admin
