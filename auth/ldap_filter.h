// Search filters with values of strangers in them (RFC 4515).
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace berth::auth {

/// `value` so that a filter takes it as text, whatever it holds (RFC 4515 §3).
std::string escape_filter_value(std::string_view value);

/// Replaces each `{name}` of the template by the escaped value of that name. What no value has stays as it is; values
/// are not looked at again.
std::string fill_filter(std::string_view filter, const std::map<std::string, std::string, std::less<>>& values);

}  // namespace berth::auth
