// Every *.http file of this folder, against the whole server; and proof that a wrong reply is noticed.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "tests/protocol/pattern.h"
#include "tests/protocol/runner.h"
#include "tests/support/scrape.h"

namespace berth::test {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> transcripts() {
  const std::filesystem::path folder = std::filesystem::path(BERTH_SOURCE_DIR) / "tests" / "protocol";
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".http") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  REQUIRE(files.size() > 30);
  return files;
}

std::set<std::string> counted_answers() {
  std::set<std::string> series;
  for (const auto& [name, value] : scrape()) {
    if (name.starts_with("berth_http_requests_total{")) series.insert(name);
  }
  return series;
}

/// Alerts and dashboards divide by what was not there a moment ago, so every answer that berth gives has its series from
/// the start.
void check_no_new_answers() {
  static const std::set<std::string> kAtStart = counted_answers();
  const auto now = counted_answers();
  std::vector<std::string> added;
  std::set_difference(now.begin(), now.end(), kAtStart.begin(), kAtStart.end(), std::back_inserter(added));
  CHECK(added == std::vector<std::string>());
}

TEST_CASE("transcripts over TLS") {
  check_no_new_answers();
  for (const auto& path : transcripts()) {
    DYNAMIC_SECTION(path.filename().string()) {
      const Played played = play(read_file(path), false, true);
      for (const std::string& failure : played.failures) {
        FAIL_CHECK(path.filename().string() << " " << failure);
      }
      CHECK(played.replies > 0);
      check_no_new_answers();
    }
  }
}

TEST_CASE("transcripts") {
  check_no_new_answers();
  for (const auto& path : transcripts()) {
    DYNAMIC_SECTION(path.filename().string()) {
      const std::string text = read_file(path);
      // BERTH_REWRITE=1 writes the replies that came into the files, to be reviewed as a diff; BERTH_REWRITE=exact
      // does so as well where a wildcard fits.
      const char* const rewrite = std::getenv("BERTH_REWRITE");
      const Played played = play(text, rewrite != nullptr && std::string_view(rewrite) == "exact");
      for (const std::string& failure : played.failures) {
        FAIL_CHECK(path.filename().string() << " " << failure);
      }
      CHECK(played.replies > 0);
      check_no_new_answers();
      if (rewrite != nullptr && played.rewritten != text && !played.rewritten.empty()) {
        std::ofstream(path, std::ios::binary) << played.rewritten;
      }
    }
  }
}

constexpr std::string_view kGood = R"(>>>
GET /v2/ HTTP/1.1
Host: localhost

<<<
HTTP/1.1 200 OK
Content-Type: application/json
Content-Length: 2

{}
)";

std::string with(std::string_view from, std::string_view to) {
  std::string text(kGood);
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST_CASE("a wrong reply is noticed") {
  CHECK(play(kGood).failures.empty());
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"another status", with("200 OK", "201 Created")},
      {"a field more", with("Content-Length: 2\n", "Content-Length: 2\nETag: x\n")},
      {"a field less", with("Content-Type: application/json\n", "")},
      {"another value", with("application/json", "application/jsom")},
      {"another body", with("{}", "[]")},
      {"no body", with("\n\n{}", "")},
      {"a longer body", with("{}", "{}{}")},
      {"fields in another order", with("Content-Type: application/json\nContent-Length: 2", "Content-Length: 2\nContent-Type: application/json")},
      {"no reply expected", with(std::string(kGood.substr(kGood.find("<<<"))), "")},
      {"a wildcard that does not fit", with("Content-Length: 2", "Content-Length: {{uuid}}")},
      {"an unknown name", with("{}", "{{nobody}}")},
      {"an unknown option", "option nonsense 1\n" + std::string(kGood)},
      {"a line of nothing", "nonsense\n" + std::string(kGood)},
  };
  for (const auto& [name, text] : wrong) {
    INFO(name);
    CHECK_FALSE(play(text).failures.empty());
  }
}

TEST_CASE("a rewritten transcript passes, and keeps what fitted") {
  const std::string wrong = with("200 OK", "201 Created");
  const Played played = play(wrong);
  CHECK(played.rewritten == kGood);
  const std::string patterned = with("Content-Length: 2\n\n{}", "Content-Length: {{digits}}\n\n[]");
  CHECK(play(patterned).rewritten == with("Content-Length: 2", "Content-Length: {{digits}}"));
  CHECK(play(patterned, true).rewritten == kGood);
}

TEST_CASE("patterns") {
  Variables variables = {{"name", "value"}, {"bytes3", "abc"}};
  CHECK(*expand("{{name}} {{size name}} {{hexsize name}} {{repeat ab 3}}{{bytes 0a00}}", variables) ==
        std::string("value 5 5 ababab\n\0", 18));
  CHECK(*expand("{{sha256:hello}}", {}) == "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  CHECK_FALSE(expand("{{nobody}}", {}).has_value());
  CHECK_FALSE(expand("{{any}}", {}).has_value());
  const std::string uuid = "01234567-89ab-4cde-8f01-23456789abcd";
  CHECK(*match("a {{id=uuid}} b {{id}} c", "a " + uuid + " b " + uuid + " c", variables));
  CHECK(variables["id"] == uuid);
  CHECK_FALSE(*match("{{id2=uuid}} {{id2}}", uuid + " 11234567-89ab-4cde-8f01-23456789abcd", variables));
  CHECK_FALSE(*match("{{digits}}", "12x", variables));
  CHECK_FALSE(*match("{{any}}", "two\nlines", variables));
  CHECK(unescape("a\\r\\n\\x00\\\\") == std::string("a\r\n\0\\", 5));
  CHECK_FALSE(unescape("\\q").has_value());
}

}  // namespace
}  // namespace berth::test
