#include "base/env.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

namespace berth {

TEST_CASE("times are written as RFC 3339") {
  struct Row {
    std::int64_t milliseconds;
    const char* text;
  };
  const Row rows[] = {
      {0, "1970-01-01T00:00:00.000Z"},
      {1, "1970-01-01T00:00:00.001Z"},
      {951782400000, "2000-02-29T00:00:00.000Z"},
      {1795255200123, "2026-11-21T10:00:00.123Z"},
      {253402300799999, "9999-12-31T23:59:59.999Z"},
      {-1, "1969-12-31T23:59:59.999Z"},
  };
  for (const auto& row : rows) CHECK(format_rfc3339(WallTime(std::chrono::milliseconds(row.milliseconds))) == row.text);
}

TEST_CASE("uuids are random, of version 4, and safe in a URL") {
  SystemEntropy entropy;
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const std::string uuid = make_uuid(entropy);
    REQUIRE(uuid.size() == 36);
    for (std::size_t at = 0; at < uuid.size(); ++at) {
      const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
      CHECK((dash ? uuid[at] == '-' : std::string_view("0123456789abcdef").find(uuid[at]) != std::string_view::npos));
    }
    CHECK(uuid[14] == '4');
    CHECK(std::string_view("89ab").find(uuid[19]) != std::string_view::npos);
    seen.insert(uuid);
  }
  CHECK(seen.size() == 200);
}

TEST_CASE("the system clock runs") {
  SystemClock clock;
  const auto before = clock.steady();
  CHECK(clock.steady() >= before);
  CHECK(clock.wall() > WallTime(std::chrono::milliseconds(1700000000000)));
}

}  // namespace berth
