// The description of /api/v1 in OpenAPI 3.1, made from the route table and one row of words for each route.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

namespace berth::api::admin {

/// What the route table does not say of an operation.
struct OperationWords {
  std::string_view operation;  ///< as in the route table
  std::string_view tag;
  std::string_view summary;
  std::string_view query = {};   ///< names of parameters, with commas between
  std::string_view body = {};    ///< name of a schema; empty: takes none
  unsigned status = 200;
  std::string_view answer = {};  ///< name of a schema; empty: has no body
  bool paged = false;            ///< the answer is a page of those
  bool if_match = false;         ///< takes If-Match
};

/// One for each route below /api/v1; a test compares.
std::span<const OperationWords> operation_words();

/// Of components.schemas and components.parameters: JSON text.
std::string_view openapi_schemas();
std::string_view openapi_parameters();

nlohmann::ordered_json openapi_document();

}  // namespace berth::api::admin
