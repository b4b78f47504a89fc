#include "base/http_date.h"

#include <time.h>

#include <chrono>
#include <string>

namespace berth {

std::optional<WallTime> parse_http_date(std::string_view text) {
  std::tm parts{};
  const std::string whole(text);
  const char* const end = ::strptime(whole.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || end != whole.c_str() + whole.size()) return std::nullopt;
  return WallTime(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace berth
