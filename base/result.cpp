#include "base/result.h"

namespace berth {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::name_invalid: return "name_invalid";
    case ErrorCode::tag_invalid: return "tag_invalid";
    case ErrorCode::digest_invalid: return "digest_invalid";
    case ErrorCode::digest_unsupported: return "digest_unsupported";
    case ErrorCode::digest_mismatch: return "digest_mismatch";
    case ErrorCode::manifest_invalid: return "manifest_invalid";
    case ErrorCode::manifest_too_large: return "manifest_too_large";
    case ErrorCode::manifest_blob_unknown: return "manifest_blob_unknown";
    case ErrorCode::size_invalid: return "size_invalid";
    case ErrorCode::upload_range_invalid: return "upload_range_invalid";
    case ErrorCode::range_unsatisfiable: return "range_unsatisfiable";
    case ErrorCode::page_invalid: return "page_invalid";
    case ErrorCode::precondition_failed: return "precondition_failed";
    case ErrorCode::too_many_tags: return "too_many_tags";
    case ErrorCode::request_invalid: return "request_invalid";
    case ErrorCode::request_too_large: return "request_too_large";
    case ErrorCode::expectation_failed: return "expectation_failed";
    case ErrorCode::method_not_allowed: return "method_not_allowed";
    case ErrorCode::route_unknown: return "route_unknown";
    case ErrorCode::blob_unknown: return "blob_unknown";
    case ErrorCode::upload_unknown: return "upload_unknown";
    case ErrorCode::manifest_unknown: return "manifest_unknown";
    case ErrorCode::repository_unknown: return "repository_unknown";
    case ErrorCode::unauthorized: return "unauthorized";
    case ErrorCode::denied: return "denied";
    case ErrorCode::too_many_requests: return "too_many_requests";
    case ErrorCode::host_refused: return "host_refused";
    case ErrorCode::storage_full: return "storage_full";
    case ErrorCode::unavailable: return "unavailable";
    case ErrorCode::request_timeout: return "request_timeout";
    case ErrorCode::aborted: return "aborted";
    case ErrorCode::io_error: return "io_error";
    case ErrorCode::corrupt: return "corrupt";
    case ErrorCode::would_block: return "would_block";
    case ErrorCode::internal: return "internal";
  }
  return "internal";
}

}  // namespace berth
