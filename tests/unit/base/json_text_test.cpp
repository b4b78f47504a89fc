#include "base/json_text.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

namespace berth {
namespace {

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

}  // namespace

TEST_CASE("texts become JSON strings") {
  struct Row {
    const char* name;
    std::string text;
    std::string json;
  };
  const std::string bad = "\xef\xbf\xbd";  // U+FFFD
  const Row rows[] = {
      {"empty", "", R"("")"},
      {"plain", "team/app:1.0", R"("team/app:1.0")"},
      {"quotes and backslashes", R"(a"b\c)", R"("a\"b\\c")"},
      {"line ends and tabs", "a\r\n\tb", R"("a\r\n\tb")"},
      {"zero byte", std::string("a\0b", 3), R"("a\u0000b")"},
      {"escape", "\x1b[31m", R"("\u001b[31m")"},
      {"DEL", "\x7f", R"("\u007f")"},
      {"control character of two bytes", "\xc2\x9b", R"("\u009b")"},
      {"first that is none", "\xc2\xa0", "\"\xc2\xa0\""},
      {"two bytes", "\xc3\xa9", "\"\xc3\xa9\""},
      {"three bytes", "\xe2\x82\xac", "\"\xe2\x82\xac\""},
      {"four bytes", "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
      {"line separators", "\xe2\x80\xa8\xe2\x80\xa9", R"("\u2028\u2029")"},
      {"beside a line separator", "\xe2\x80\xa7", "\"\xe2\x80\xa7\""},
      {"lone continuation", "a\x80z", "\"a" + bad + "z\""},
      {"overlong slash", "\xc0\xaf", '"' + bad + bad + '"'},
      {"surrogate", "\xed\xa0\x80", '"' + bad + bad + bad + '"'},
      {"beyond Unicode", "\xf4\x90\x80\x80", '"' + bad + bad + bad + bad + '"'},
      {"cut off", "a\xe2\x82", "\"a" + bad + bad + '"'},
      {"cut off by a letter", "\xe2\x82z", '"' + bad + bad + "z\""},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    CHECK(json_string(row.text) == row.json);
    CHECK(nlohmann::json::accept(json_string(row.text)));
  }
}

TEST_CASE("every code point survives a JSON string") {
  for (char32_t point = 0; point < 0x110000; point += point < 0x3000 ? 1 : 97) {
    if (point >= 0xd800 && point < 0xe000) continue;
    std::string text;
    if (point < 0x80) {
      text += static_cast<char>(point);
    } else if (point < 0x800) {
      text += static_cast<char>(0xc0 | point >> 6);
      text += static_cast<char>(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
      text += static_cast<char>(0xe0 | point >> 12);
      text += static_cast<char>(0x80 | (point >> 6 & 0x3f));
      text += static_cast<char>(0x80 | (point & 0x3f));
    } else {
      text += static_cast<char>(0xf0 | point >> 18);
      text += static_cast<char>(0x80 | (point >> 12 & 0x3f));
      text += static_cast<char>(0x80 | (point >> 6 & 0x3f));
      text += static_cast<char>(0x80 | (point & 0x3f));
    }
    if (utf8_sequence_size(text) != text.size() ||
        nlohmann::json::parse(json_string(text)).get<std::string>() != text) {
      FAIL("code point " << static_cast<std::uint32_t>(point));
    }
  }
}

TEST_CASE("a byte that needs care is seen wherever it stands") {
  for (int byte = 0; byte < 256; ++byte) {
    const bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
    const std::string alone = json_string(std::string(1, static_cast<char>(byte)));
    CHECK((alone.size() == 3 && alone[1] == static_cast<char>(byte)) == plain);
    for (std::size_t at = 0; at < 20; ++at) {
      for (const char around : {' ', '!', '#', '[', '~', 'a'}) {
        std::string text(21, around);
        text[at] = static_cast<char>(byte);
        const std::string expected = '"' + text.substr(0, at) + alone.substr(1, alone.size() - 2) + text.substr(at + 1) + '"';
        if (json_string(text) != expected) FAIL("byte " << byte << " at " << at << " among " << around);
      }
    }
  }
}

}  // namespace berth
