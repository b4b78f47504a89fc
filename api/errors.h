// The one place where errors become responses: a table from what went wrong to what the wire says.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "api/http.h"
#include "base/result.h"

namespace berth::api {

struct ErrorRow {
  ErrorCode code;
  std::string_view wire;       ///< the code of the error body; empty: no body
  unsigned status;
  unsigned retry_after_s = 0;  ///< Retry-After, when not zero
};

/// Every ErrorCode, in its order.
std::span<const ErrorRow> error_table();
const ErrorRow& error_row(ErrorCode code);

/// The protocol's error body: one element, or one for each of `error.subjects` (several missing blobs). Valid JSON
/// whatever bytes the message holds. `aborted` becomes kNoAnswer.
Response error_response(const Error& error, const std::string& request_id);
/// The same as another row has it.
Response error_response(const ErrorRow& row, const Error& error, const std::string& request_id);

}  // namespace berth::api
