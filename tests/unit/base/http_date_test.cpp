#include "base/http_date.h"

#include <catch2/catch.hpp>
#include <chrono>

namespace berth {

TEST_CASE("dates as HTTP writes them") {
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == WallTime(std::chrono::seconds(784'111'777)));
  for (const char* wrong : {"", "784111777", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov 1994 08:49:37 CET",
                            "Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"}) {
    INFO(wrong);
    CHECK_FALSE(parse_http_date(wrong));
  }
}

}  // namespace berth
