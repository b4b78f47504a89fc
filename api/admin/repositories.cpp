// /api/v1/repositories: what an operator does to a repository as a whole.
#include "api/handlers.h"

namespace berth::api {

Task<Response> delete_repository(Context& context) {
  auto may_delete = context.policy.tags(context.principal, auth::Action::delete_, context.repository());
  BERTH_CO_CHECK(
      co_await context.registry().delete_repository(context.actor, context.repository(), std::move(may_delete)));
  Response response;
  response.status = 202;  // the name is free now; the content goes after the undo window
  co_return response;
}

}  // namespace berth::api
