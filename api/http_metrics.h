// What is counted of every request. Names and meaning: docs/metrics.md.
#pragma once

#include <cstdint>
#include <string_view>

#include "api/http.h"
#include "api/routes.h"
#include "auth/principal.h"

namespace berth::api {

/// The label `operation`: what a request asked for, in words of the standard. Management is counted as reading and
/// changing only, so that the number of series does not grow with every route.
enum class Operation : std::uint8_t {
  other,  ///< no such path or method, a head that cannot be read, a listener that does not serve it
  ping,
  catalog,
  tags_list,
  referrers,
  manifest_get,
  manifest_head,
  manifest_put,
  manifest_delete,
  blob_get,
  blob_head,
  blob_delete,
  upload_start,
  upload_status,
  upload_append,
  upload_finish,
  upload_cancel,
  token,
  token_keys,
  api_read,
  api_write,
  health,
  metrics,
};
inline constexpr std::size_t kOperations = static_cast<std::size_t>(Operation::metrics) + 1;
std::string_view to_string(Operation operation);

/// The label `class`.
enum class OperationClass : std::uint8_t {
  pull,   ///< what clients read
  push,   ///< uploads and manifests
  api,    ///< tokens, management, deletes
  other,  ///< health, metrics, and what is nothing
};
inline constexpr std::size_t kOperationClasses = 4;
std::string_view to_string(OperationClass group);
OperationClass class_of(Operation operation);

Operation operation_of(const Route& route, Method method);

/// Once for each request, when its answer is out. One that a stored file cut off counts as 500: its client has a success
/// in its hands that it cannot use.
void count_exchange(Operation operation, unsigned status, const Outcome& outcome);

/// A request whose head could not be read, and that nobody handled.
void count_refused(unsigned status);

/// Somebody who is known asked for what they may not. Who showed nothing is sent to log in first, which is how every
/// login begins and is not counted.
void count_denied(auth::Action action, const auth::Principal& principal);

}  // namespace berth::api
