#include "api/errors.h"

#include <array>

#include "base/json_text.h"

namespace berth::api {

namespace {

// Codes of distribution-spec, "Error Codes"; the last column of comments names those that only docker's registry knows.
constexpr std::array kTable = {
    ErrorRow{ErrorCode::name_invalid, "NAME_INVALID", 400},
    ErrorRow{ErrorCode::tag_invalid, "TAG_INVALID", 400},  // docker
    ErrorRow{ErrorCode::digest_invalid, "DIGEST_INVALID", 400},
    ErrorRow{ErrorCode::digest_unsupported, "DIGEST_INVALID", 400},
    ErrorRow{ErrorCode::digest_mismatch, "DIGEST_INVALID", 400},
    ErrorRow{ErrorCode::manifest_invalid, "MANIFEST_INVALID", 400},
    ErrorRow{ErrorCode::manifest_too_large, "MANIFEST_INVALID", 413},
    ErrorRow{ErrorCode::manifest_blob_unknown, "MANIFEST_BLOB_UNKNOWN", 400},
    ErrorRow{ErrorCode::size_invalid, "SIZE_INVALID", 400},
    // docker's RANGE_INVALID: clients take the specification's BLOB_UPLOAD_INVALID for a passing trouble and try again.
    ErrorRow{ErrorCode::upload_range_invalid, "RANGE_INVALID", 416},
    ErrorRow{ErrorCode::range_unsatisfiable, "RANGE_INVALID", 416},       // docker
    ErrorRow{ErrorCode::page_invalid, "PAGINATION_NUMBER_INVALID", 400},  // docker
    ErrorRow{ErrorCode::precondition_failed, "PRECONDITION_FAILED", 412},
    ErrorRow{ErrorCode::too_many_tags, "TAG_INVALID", 414},
    // A 400 whose code is outside the specification's list fails conformance, so what has no code of its own is
    // UNSUPPORTED.
    ErrorRow{ErrorCode::request_invalid, "UNSUPPORTED", 400},
    ErrorRow{ErrorCode::request_too_large, "UNSUPPORTED", 431},
    ErrorRow{ErrorCode::expectation_failed, "UNSUPPORTED", 417},
    ErrorRow{ErrorCode::method_not_allowed, "UNSUPPORTED", 405},
    ErrorRow{ErrorCode::route_unknown, "UNSUPPORTED", 404},
    ErrorRow{ErrorCode::blob_unknown, "BLOB_UNKNOWN", 404},
    ErrorRow{ErrorCode::upload_unknown, "BLOB_UPLOAD_UNKNOWN", 404},
    ErrorRow{ErrorCode::manifest_unknown, "MANIFEST_UNKNOWN", 404},
    ErrorRow{ErrorCode::repository_unknown, "NAME_UNKNOWN", 404},
    ErrorRow{ErrorCode::unauthorized, "UNAUTHORIZED", 401},
    ErrorRow{ErrorCode::denied, "DENIED", 403},
    ErrorRow{ErrorCode::too_many_requests, "TOOMANYREQUESTS", 429, 1},
    ErrorRow{ErrorCode::host_refused, "DENIED", 403},
    ErrorRow{ErrorCode::storage_full, "UNAVAILABLE", 503, 5},
    ErrorRow{ErrorCode::unavailable, "UNAVAILABLE", 503, 1},
    ErrorRow{ErrorCode::request_timeout, "UNAVAILABLE", 408},
    ErrorRow{ErrorCode::aborted, "", kNoAnswer},
    ErrorRow{ErrorCode::io_error, "UNKNOWN", 500},
    ErrorRow{ErrorCode::corrupt, "UNKNOWN", 500},
    ErrorRow{ErrorCode::would_block, "UNKNOWN", 500},
    ErrorRow{ErrorCode::internal, "UNKNOWN", 500},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].code) != i) return false;
  }
  return true;
}
static_assert(in_order(), "error_row() finds a code by its position");
static_assert(kTable.size() == static_cast<std::size_t>(ErrorCode::internal) + 1, "every code has a row");

/// `{"code":…,"message":…,"detail":{…}}`; `digest` is null unless a missing blob is named.
void append_element(std::string& body, const ErrorRow& row, const Error& error, const std::string* digest,
                    const std::string& request_id) {
  body += R"({"code":)";
  append_json_string(body, row.wire);
  body += R"(,"message":)";
  append_json_string(body, error.message.empty() ? to_string(error.code) : std::string_view(error.message));
  body += R"(,"detail":{)";
  if (digest != nullptr) {
    body += R"("digest":)";
    append_json_string(body, *digest);
    body += ',';
  }
  body += R"("request_id":)";
  append_json_string(body, request_id);
  body += "}}";
}

}  // namespace

std::span<const ErrorRow> error_table() { return kTable; }

const ErrorRow& error_row(ErrorCode code) { return kTable[static_cast<std::size_t>(code)]; }

Response error_response(const Error& error, const std::string& request_id) {
  return error_response(error_row(error.code), error, request_id);
}

Response error_response(const ErrorRow& row, const Error& error, const std::string& request_id) {
  if (row.status == kNoAnswer) {
    Response response;
    response.status = kNoAnswer;
    response.close = true;
    response.log_detail = error.log_detail;
    return response;
  }
  std::string body = R"({"errors":[)";
  for (const std::string& digest : error.subjects) {
    if (&digest != error.subjects.data()) body += ',';
    append_element(body, row, error, &digest, request_id);
  }
  if (error.subjects.empty()) append_element(body, row, error, nullptr, request_id);
  body += "]}";
  Response response = text_response(row.status, std::move(body), "application/json");
  if (row.retry_after_s != 0) response.headers.add("Retry-After", std::to_string(row.retry_after_s));
  // A client that was too slow for one body is not waited for again.
  response.close = error.code == ErrorCode::request_timeout;
  response.log_detail = std::string(to_string(error.code)) + ": " + error.message;
  if (!error.log_detail.empty()) response.log_detail += " (" + error.log_detail + ")";
  return response;
}

}  // namespace berth::api
