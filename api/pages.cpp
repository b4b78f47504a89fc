#include "api/pages.h"

#include <algorithm>

namespace berth::api {

Result<std::size_t> page_size(const Query& query, std::size_t fallback, std::size_t n_max) {
  const auto text = query.get("n");
  if (!text) return std::min(fallback, n_max);
  if (text->empty() || text->find_first_not_of("0123456789") != std::string_view::npos) {
    return make_error(ErrorCode::page_invalid, "n must be a non-negative integer");
  }
  std::size_t n = 0;
  for (const char c : *text) {
    n = n * 10 + static_cast<std::size_t>(c - '0');
    if (n >= n_max) return n_max;  // before it can overflow
  }
  return n;
}

void add_next_link(Response& response, const Context& context, std::string_view path, std::size_t n,
                   std::string_view cursor) {
  std::string link = "<";
  link += path;
  link += "?n=" + std::to_string(n) + "&last=" + percent_encode(cursor);
  for (const auto& [name, value] : context.query.items()) {
    if (name != "n" && name != "last") link += '&' + percent_encode(name) + '=' + percent_encode(value);
  }
  link += ">; rel=\"next\"";
  response.headers.add("Link", std::move(link));
}

}  // namespace berth::api
