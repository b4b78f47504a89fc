// Paging as the lists share it: `n`, and the Link to what follows.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "api/context.h"

namespace berth::api {

/// The `n` of a query: `fallback` when there is none, never more than `n_max` (so that nobody allocates by a client's
/// number, however long). Errors: page_invalid (not a non-negative integer).
Result<std::size_t> page_size(const Query& query, std::size_t fallback, std::size_t n_max);

/// Adds `Link: <path?n=…&last=…>; rel="next"`: path-absolute, with every other parameter of the request kept, all
/// encoded.
void add_next_link(Response& response, const Context& context, std::string_view path, std::size_t n,
                   std::string_view cursor);

}  // namespace berth::api
