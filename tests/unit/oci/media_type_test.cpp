#include "oci/media_type.h"

#include <catch2/catch.hpp>
#include <string>

namespace berth::oci {

TEST_CASE("media types") {
  const std::string longest(127, 'x');
  for (const std::string& text :
       {std::string("a/b"), std::string("application/vnd.oci.image.manifest.v1+json"),
        std::string("text/x.y-z_1!#$&^+"), std::string("Application/JSON"), longest + "/" + longest}) {
    INFO(text);
    CHECK(is_media_type(text));
  }
  for (const std::string& text :
       {std::string(""), std::string("/"), std::string("a"), std::string("a/"), std::string("/b"), std::string("a/b/c"),
        std::string("a/b;c=d"), std::string("a /b"), std::string("a/b "), std::string(".a/b"), std::string("a/+b"),
        std::string("a/b\n"), std::string("*/*"), std::string("a/b\xc3\xa9"), longest + "x/b", "a/" + longest + "x"}) {
    INFO(text);
    CHECK_FALSE(is_media_type(text));
  }
}

TEST_CASE("the Content-Type header loses parameters, blanks and case") {
  CHECK(media_type_of_header("") == "");
  CHECK(media_type_of_header(" \t ") == "");
  CHECK(media_type_of_header(";charset=utf-8") == "");
  CHECK(media_type_of_header("a/b") == "a/b");
  CHECK(media_type_of_header(" Application/JSON ; charset=\"UTF-8\"") == "application/json");
}

}  // namespace berth::oci
