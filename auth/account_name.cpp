#include "auth/account_name.h"

#include <algorithm>

namespace berth::auth {
namespace {

constexpr std::size_t kNameBytesMax = 64;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

std::optional<std::string> account_name(std::string_view text) {
  if (text.empty() || text.size() > kNameBytesMax) return std::nullopt;
  std::string name(text);
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const bool good = is_letter_or_digit(name.front()) && is_letter_or_digit(name.back()) &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return is_letter_or_digit(c) || c == '.' || c == '_' || c == '@' || c == '-';
                    });
  if (!good) return std::nullopt;
  return name;
}

}  // namespace berth::auth
