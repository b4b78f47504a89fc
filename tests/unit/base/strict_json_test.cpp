#include "base/strict_json.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

namespace berth {

TEST_CASE("strict JSON reads what any reader reads") {
  for (const char* text : {"{}", "[]", "1", "\"a\"", "null", "[1,-2,3.5,true,null,\"x\",[],{}]",
                           R"({"a":{"b":[{"a":1},{"a":2}]},"b":{"a":1},"A":2})", " {\"a\" : [ [ ] , [ 1 ] ] } "}) {
    INFO(text);
    const auto value = parse_strict_json(text);
    REQUIRE(value);
    CHECK(*value == nlohmann::json::parse(text));
  }
}

TEST_CASE("JSON that could be read in two ways is refused") {
  struct Row {
    const char* name;
    std::string text;
    const char* says;
  };
  const Row rows[] = {
      {"empty", "", "not valid JSON"},
      {"cut off", R"({"a":1)", "not valid JSON"},
      {"a member twice", R"({"a":1,"b":2,"a":3})", "\"a\" twice"},
      {"a member twice, written otherwise", R"({"a":1,"\u0061":3})", "\"a\" twice"},
      {"a member twice inside", R"([{"x":{"a":1,"a":1}}])", "\"a\" twice"},
      {"a long member twice", "{\"" + std::string(70, 'k') + "\":1,\"" + std::string(70, 'k') + "\":1}", "a member twice"},
      {"after the value", "{} {}", "not valid JSON"},
      {"a comma too many", "[1,]", "not valid JSON"},
      {"a comment", "{/**/}", "not valid JSON"},
      {"byte order mark", "\xef\xbb\xbf{}", "byte order mark"},
      {"a zero byte", std::string("{}\0", 3), "zero byte"},
      {"not UTF-8", "\"\xff\"", "not valid JSON"},
      {"a lone surrogate", R"("\ud800")", "not valid JSON"},
      {"not a number", "[NaN]", "not valid JSON"},
      {"too large a number", "[1e999]", "not valid JSON"},
      {"too deep", "[[[[[]]]]]", "deeper than 4"},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto value = parse_strict_json(row.text, 4);
    REQUIRE_FALSE(value);
    CHECK(value.error().code == ErrorCode::request_invalid);
    CHECK_THAT(value.error().message, Catch::Contains(row.says));
  }
  CHECK(parse_strict_json("[[[[]]]]", 4));
  CHECK_FALSE(parse_strict_json(std::string(100'000, '[')));
}

}  // namespace berth
