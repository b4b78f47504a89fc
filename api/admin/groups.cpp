// /api/v1/groups
#include "api/admin/administrators.h"
#include "api/admin/fields.h"
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

Error no_such_group() { return make_error(registry::kIdentityUnknown, "there is no such group"); }

}  // namespace

Task<Response> list_groups(Context& context) {
  BERTH_CO_TRY(auto asked, page_asked(context));
  BERTH_CO_TRY(const auto page, co_await context.identities().list_groups(asked.n, std::move(asked.last)));
  co_return json_answer(200, page_of(forms_of(page.items), page.more ? page.items.back().name : ""));
}

Task<Response> get_group(Context& context) {
  BERTH_CO_TRY(const auto group, co_await context.identities().find_group(context.target.parts[0]));
  if (!group) co_return no_such_group();
  co_return versioned_answer(200, form_of(*group), group->version);
}

Task<Response> list_group_users(Context& context) {
  BERTH_CO_TRY(auto asked, page_asked(context));
  BERTH_CO_TRY(const auto page, co_await context.identities().list_group_users(context.target.parts[0], asked.n,
                                                                               std::move(asked.last)));
  if (!page) co_return no_such_group();
  Out items = Out::array();
  for (const std::string& name : page->items) items.push_back(Out{{"name", name}});
  co_return json_answer(200, page_of(std::move(items), page->more ? page->items.back() : ""));
}

Task<Response> create_group(Context& context) {
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  registry::NewGroup group;
  group.name = registry::lower_case(fields.required_text("name"));
  group.description = fields.text("description").value_or("");
  group.members = fields.texts("outside_members").value_or(std::vector<std::string>{});
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_CHECK(registry::check_name(group.name, "name"));
  BERTH_CO_TRY(const auto made, co_await context.identities().create_group(context.actor, std::move(group)));
  co_return created_answer(form_of(made), "/api/v1/groups/" + made.name, made.version);
}

Task<Response> update_group(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  registry::GroupChange change;
  change.description = fields.text("description");
  change.members = fields.texts("outside_members");
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_TRY(const auto changed, co_await context.identities().update_group(
                                       context.actor, context.target.parts[0], std::move(change), version));
  co_return versioned_answer(200, form_of(changed), changed.version);
}

Task<Response> delete_group(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  const std::string name = registry::lower_case(context.target.parts[0]);
  BERTH_CO_TRY(const auto group, co_await context.identities().find_group(name));
  if (!group) co_return no_such_group();
  AccessChange access{.group_gone = name};
  BERTH_CO_CHECK(co_await check_administrators_stay(context, std::move(access)));
  BERTH_CO_CHECK(co_await context.identities().delete_group(context.actor, name, version));
  co_return no_content();
}

}  // namespace berth::api::admin
