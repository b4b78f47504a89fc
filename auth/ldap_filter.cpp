#include "auth/ldap_filter.h"

namespace berth::auth {

std::string escape_filter_value(std::string_view value) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    const bool special = c == '(' || c == ')' || c == '*' || c == '\\';
    if (!special && byte >= 0x20 && byte < 0x7f) {
      out += c;
      continue;
    }
    out += '\\';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

std::string fill_filter(std::string_view filter, const std::map<std::string, std::string, std::less<>>& values) {
  std::string out;
  while (!filter.empty()) {
    const auto open = filter.find('{');
    const auto close = open == std::string_view::npos ? open : filter.find('}', open);
    if (close == std::string_view::npos) break;
    const auto found = values.find(filter.substr(open + 1, close - open - 1));
    if (found == values.end()) {
      out += filter.substr(0, open + 1);
      filter.remove_prefix(open + 1);
      continue;
    }
    out += filter.substr(0, open);
    out += escape_filter_value(found->second);
    filter.remove_prefix(close + 1);
  }
  out += filter;
  return out;
}

}  // namespace berth::auth
