#include "base/base64.h"

#include <catch2/catch.hpp>
#include <random>
#include <string>

namespace berth {

TEST_CASE("base64 has one text for one sequence of bytes") {
  struct Row {
    const char* bytes;
    const char* text;
  };
  // RFC 4648 §10.
  const Row rows[] = {{"", ""},           {"f", "Zg=="},         {"fo", "Zm8="},        {"foo", "Zm9v"},
                      {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& row : rows) {
    INFO(row.text);
    CHECK(encode_base64(as_bytes(row.bytes)) == row.text);
    CHECK(decode_base64(row.text) == row.bytes);
    std::string bare = row.text;
    while (bare.ends_with('=')) bare.pop_back();
    CHECK(encode_base64url(as_bytes(row.bytes)) == bare);
    CHECK(decode_base64url(bare) == row.bytes);
  }
  // RFC 7515 appendix C.
  CHECK(encode_base64url(as_bytes("\x03\xec\xff\xe0\xc1")) == "A-z_4ME");
  CHECK(decode_base64url("A-z_4ME") == "\x03\xec\xff\xe0\xc1");
}

TEST_CASE("base64 that is not canonical is refused") {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "====", "Zh==", "Zm9=", "Zm8=Zm8=", "Zg==\n", "Z g=", "A-z_", "Zm9v="}) {
    INFO(text);
    CHECK_FALSE(decode_base64(text));
  }
  for (const char* text : {"Z", "Zg==", "Zh", "Zm9", "Zm9vY", "A+z/", "Zg\n", " Zg", "Z=g"}) {
    INFO(text);
    CHECK_FALSE(decode_base64url(text));
  }
  CHECK_FALSE(decode_base64url(std::string_view("Zm9\0", 4)));
}

TEST_CASE("any bytes survive base64") {
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(random() % 70, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    REQUIRE(decode_base64(encode_base64(as_bytes(bytes))) == bytes);
    REQUIRE(decode_base64url(encode_base64url(as_bytes(bytes))) == bytes);
  }
}

}  // namespace berth
