// /api/v1/repositories: which there are, and what an operator does to one as a whole.
#include "api/admin/forms.h"
#include "api/admin/handlers.h"

namespace berth::api {

namespace admin {

Task<Response> list_visible_repositories(Context& context) {
  BERTH_CO_TRY(auto asked, page_asked(context));
  const auto visibility = context.policy.catalog_visibility(context.principal);
  BERTH_CO_TRY(const auto page,
               co_await context.registry().list_repositories(context.actor, visibility, asked.n, std::move(asked.last)));
  Out items = Out::array();
  for (const std::string& name : page.names) items.push_back(Out{{"name", name}});
  co_return json_answer(200, page_of(std::move(items), page.more && !page.names.empty() ? page.names.back() : ""));
}

}  // namespace admin

Task<Response> delete_repository(Context& context) {
  auto may_delete = context.policy.tags(context.principal, auth::Action::delete_, context.repository());
  BERTH_CO_CHECK(
      co_await context.registry().delete_repository(context.actor, context.repository(), std::move(may_delete)));
  Response response;
  response.status = 202;  // the name is free now; the content goes after the undo window
  co_return response;
}

}  // namespace berth::api
