#include "auth/authorization_header.h"

#include <string_view>

#include "base/base64.h"

namespace berth::auth {
namespace {

Error refuse(const char* detail) {
  return make_error(ErrorCode::unauthorized, "the credential is not good", detail);
}

bool is_scheme(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
    if (c != lower[i]) return false;
  }
  return true;
}

}  // namespace

Result<ShownCredential> parse_authorization(const std::vector<std::string>& headers) {
  if (headers.empty()) return ShownCredential(NoCredential{});
  if (headers.size() > 1) return refuse("several Authorization headers");
  const std::string_view header = headers.front();
  const std::size_t blank = header.find(' ');
  const std::string_view scheme = header.substr(0, blank);
  const std::size_t begin = blank == header.npos ? header.npos : header.find_first_not_of(' ', blank);
  const std::string_view text = begin == header.npos ? std::string_view{} : header.substr(begin);

  if (is_scheme(scheme, "bearer")) {
    if (text.empty() || text.find_first_of(" \t,") != text.npos) return refuse("a Bearer credential that is no token");
    return ShownCredential(BearerCredential{std::string(text)});
  }
  if (!is_scheme(scheme, "basic")) return refuse("a scheme other than Basic and Bearer");
  const auto pair = decode_base64(text);
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) return refuse("a Basic credential that is no base64 of name:password");
  if (pair->size() == 1) return ShownCredential(NoCredential{});
  return ShownCredential(BasicCredential{pair->substr(0, colon), pair->substr(colon + 1)});
}

}  // namespace berth::auth
