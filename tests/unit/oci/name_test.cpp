#include "oci/name.h"

#include <catch2/catch.hpp>
#include <optional>
#include <string>

namespace berth::oci {
namespace {

struct Row {
  const char* name;
  std::string text;
  bool valid;
};

}  // namespace

TEST_CASE("repository names") {
  const Row rows[] = {
      {"one letter", "a", true},
      {"digits", "0/1", true},
      {"library/alpine", "library/alpine", true},
      {"every separator", "a.b/a_b/a__b/a-b/a--b/a----b", true},
      {"words of the routes", "blobs/manifests/tags/list/uploads/referrers", true},
      {"as long as allowed", std::string(255, 'a'), true},
      {"one too long", std::string(256, 'a'), false},
      {"long with parts", std::string(127, 'a') + "/" + std::string(127, 'b'), true},
      {"empty", "", false},
      {"slash", "/", false},
      {"leading slash", "/a", false},
      {"trailing slash", "a/", false},
      {"double slash", "a//b", false},
      {"upper case", "Library/alpine", false},
      {"dot segment", "a/../b", false},
      {"single dot", "a/./b", false},
      {"dots", "..", false},
      {"two dots in a part", "a..b", false},
      {"three underscores", "a___b", false},
      {"dot and underscore", "a._b", false},
      {"underscore and dash", "a_-b", false},
      {"dash and dot", "a-.b", false},
      {"leading dot", ".a", false},
      {"leading underscore", "_a", false},
      {"reserved prefix", "_catalog", false},
      {"reserved part", "a/_oci", false},
      {"leading dash", "-a", false},
      {"trailing dot", "a.", false},
      {"trailing underscores", "a__", false},
      {"trailing dashes", "a--", false},
      {"separator before a slash", "a-/b", false},
      {"separator after a slash", "a/-b", false},
      {"only dashes", "---", false},
      {"colon", "a:b", false},
      {"at", "a@b", false},
      {"percent", "a%2fb", false},
      {"backslash", "a\\b", false},
      {"blank", "a b", false},
      {"newline", "a\n", false},
      {"zero byte", std::string("a\0b", 3), false},
      {"zero byte behind", std::string("a\0", 2), false},
      {"Cyrillic a", "\xd0\xb0", false},
      {"full-width solidus",
       "a\xef\xbc\x8f"
       "b",
       false},
      {"high byte", "a\xff", false},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto name = RepositoryName::parse(row.text);
    CHECK(name.has_value() == row.valid);
    if (row.valid) {
      CHECK(name->text() == row.text);
    } else {
      CHECK(name.error().code == ErrorCode::name_invalid);
      CHECK_FALSE(name.error().message.empty());
    }
  }
}

TEST_CASE("tags") {
  const Row rows[] = {
      {"latest", "latest", true},
      {"version", "v1.2.3-rc.1", true},
      {"upper case", "Stable", true},
      {"underscore first", "_x", true},
      {"a digest written as a tag", "sha256-" + std::string(64, 'a'), true},
      {"trailing separators", "a.-_", true},
      {"as long as allowed", std::string(128, 't'), true},
      {"one too long", std::string(129, 't'), false},
      {"empty", "", false},
      {"as the conformance suite spells it", ".INVALID", false},
      {"dash first", "-a", false},
      {"dots", "..", false},
      {"slash", "a/b", false},
      {"colon", "a:b", false},
      {"plus", "1.0+build", false},
      {"blank", "a b", false},
      {"newline", "a\n", false},
      {"zero byte", std::string("a\0", 2), false},
      {"not ASCII", "caf\xc3\xa9", false},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto tag = Tag::parse(row.text);
    CHECK(tag.has_value() == row.valid);
    if (row.valid) {
      CHECK(tag->text() == row.text);
    } else {
      CHECK(tag.error().code == ErrorCode::tag_invalid);
      CHECK_FALSE(tag.error().message.empty());
    }
  }
}

TEST_CASE("references: what holds a colon is a digest and never a tag") {
  struct ReferenceRow {
    const char* name;
    std::string text;
    bool is_digest;
    std::optional<ErrorCode> error;
  };
  const std::string digest = "sha256:" + std::string(64, '0');
  const ReferenceRow rows[] = {
      {"tag", "latest", false, {}},
      {"tag that looks like a digest", "sha256-" + std::string(64, '0'), false, {}},
      {"digest", digest, true, {}},
      {"sha512", "sha512:" + std::string(128, '0'), true, {}},
      {"malformed digest", "sha256:baddigeststring", true, ErrorCode::digest_invalid},
      {"unsupported digest", "blake3:" + std::string(64, '0'), true, ErrorCode::digest_unsupported},
      {"colon alone", ":", true, ErrorCode::digest_invalid},
      {"malformed tag", ".INVALID", false, ErrorCode::tag_invalid},
      {"empty", "", false, ErrorCode::tag_invalid},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    const auto reference = parse_reference(row.text);
    CHECK(reference.has_value() == !row.error.has_value());
    if (row.error) {
      CHECK(reference.error().code == *row.error);
      continue;
    }
    CHECK(std::holds_alternative<Digest>(*reference) == row.is_digest);
    CHECK(to_string(*reference) == row.text);
  }
}

}  // namespace berth::oci
