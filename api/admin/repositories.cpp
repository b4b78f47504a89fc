// /api/v1/repositories: what an operator does to a repository as a whole.
#include "api/handlers.h"

namespace berth::api {

Task<Response> delete_repository(Context& context) {
  BERTH_CO_CHECK(co_await context.registry().delete_repository(context.actor, context.repository()));
  Response response;
  response.status = 202;  // the name is free now; the content goes after the undo window
  co_return response;
}

}  // namespace berth::api
