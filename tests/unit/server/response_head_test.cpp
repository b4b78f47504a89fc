#include <catch2/catch.hpp>
#include <ctime>
#include <string>

#include "server/response_writer.h"

namespace berth::server {
namespace {

constexpr std::string_view kDate = "Sat, 21 Nov 2026 10:00:00 GMT";

api::Response response_with(std::string name, std::string value) {
  auto response = api::text_response(200, "hello", "text/plain");
  response.headers.add(std::move(name), std::move(value));
  return response;
}

}  // namespace

TEST_CASE("the head of an answer is exact") {
  auto response = response_with("Location", "/v2/a");
  CHECK(format_response_head(response, kDate, false) ==
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nLocation: /v2/a\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
        "Content-Length: 5\r\n\r\n");
  response.status = 416;
  response.body.clear();
  CHECK(format_response_head(response, kDate, true) ==
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Type: text/plain\r\nLocation: /v2/a\r\n"
        "Date: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  api::Response none;
  for (const unsigned status : {204U, 304U}) {
    none.status = status;
    CHECK(format_response_head(none, kDate, false).find("Content-Length") == std::string::npos);
  }
}

TEST_CASE("a value that would end its field is not sent") {
  CHECK(format_response_head(response_with("X", "a\tb c"), kDate, false) != "");
  for (const std::string value : {"a\r\nX: b", "a\nb", "a\rb", "a\x7f", "caf\xc3\xa9"}) {
    CHECK(format_response_head(response_with("X", value), kDate, false).empty());
  }
  CHECK(format_response_head(response_with("X", std::string("a\0b", 3)), kDate, false).empty());
  for (const std::string name : {"", "X Y", "X:", "X\r\n"}) {
    CHECK(format_response_head(response_with(name, "a"), kDate, false).empty());
  }
}

TEST_CASE("the date is now, in the form of RFC 9110") {
  DateText date;
  const std::string text(date.now());
  std::tm tm{};
  REQUIRE(::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &tm) != nullptr);
  CHECK(text.size() == 29);
  CHECK(std::abs(::timegm(&tm) - std::time(nullptr)) <= 1);
}

}  // namespace berth::server
