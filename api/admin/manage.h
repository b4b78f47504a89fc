// What all routes of management share: how their errors are told, versions, pages, and who may be served.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "api/context.h"
#include "api/handlers.h"
#include "registry/identities/identities.h"

namespace berth::api::admin {

/// Keeps its members in the order in which they were set.
using Out = nlohmann::ordered_json;

/// Management tells what is missing or stands against a change in its own way, and none of its answers is kept by
/// anything between. Who is not let in hears it from the pipeline, as everywhere.
Result<Response> finish(const Context& context, Result<Response> answer);

/// Errors: unavailable (nothing that keeps accounts is attached).
Result<void> require_accounts(const Context& context);

/// Every handler of management goes into the route table through this.
template <Handle handle>
Task<Response> manage(Context& context) {
  BERTH_CO_CHECK(require_accounts(context));
  auto answer = co_await handle(context);
  co_return finish(context, std::move(answer));
}

Response json_answer(unsigned status, const Out& body);
/// With the ETag that If-Match asks for.
Response versioned_answer(unsigned status, const Out& body, registry::IdentityNumber version);
/// 201 with a Location.
Response created_answer(const Out& body, std::string_view path, registry::IdentityNumber version);
Response no_content();

/// What a change asks for. Errors: precondition_failed (it names no version that was ever told).
Result<registry::IfVersion> if_version(const Context& context);

/// A page as the query asks for it.
struct PageAsked {
  std::size_t n = 0;  ///< at least 1
  std::string last;
};
/// Errors: page_invalid.
Result<PageAsked> page_asked(const Context& context);
/// {"items": …, "next": …}; `next` is what `last` must be for the page after, empty at the end.
Out page_of(Out items, const std::string& next);

/// A parameter of the query that may be given once. Errors: request_invalid.
Result<std::optional<std::string>> parameter(const Context& context, std::string_view name);
/// true or false. Errors: request_invalid.
Result<bool> flag(const Context& context, std::string_view name);

/// A number as it stands in a path. Errors: repository_unknown, for there is nothing of that name.
Result<registry::IdentityNumber> number_in_path(std::string_view text);

/// Administrator of the whole registry?
bool is_administrator(const Context& context);
/// Somebody who showed who it is, where accounts are on. Errors: unauthorized.
Result<void> require_authenticated(const Context& context);

/// Something stands against the change: 409.
Error conflict(std::string message);

}  // namespace berth::api::admin
