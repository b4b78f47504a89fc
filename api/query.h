// The two halves of a request target: path segments and query parameters, each decoded exactly once; and the encoder
// for what goes back into a Link.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::api {

/// Decodes `%xx`, and '+' as a space when `plus_is_space`. Empty when a '%' is not followed by two hex digits.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

/// Every byte but the unreserved ones of RFC 3986 §2.3 becomes `%XX`: safe in a header, a path and a query.
std::string percent_encode(std::string_view text);

/// The parameters of a query, decoded, in the order they came. A name may repeat; unknown ones are kept.
class Query {
 public:
  static constexpr std::size_t kParametersMax = 1024;

  /// `text` is what follows the '?'. Errors: request_invalid (a broken escape), too_many_tags (more parameters than
  /// kParametersMax, which only a push with a flood of tags comes near).
  static Result<Query> parse(std::string_view text);

  /// The first value of that name.
  std::optional<std::string_view> get(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& items() const { return items_; }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

}  // namespace berth::api
