// Patterns against what they say in rows, and against a matcher that tries everything.
#include "registry/pattern.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <set>

#include "oci/name.h"

namespace berth::registry {
namespace {

RepositoryPattern pattern(std::string_view text) { return RepositoryPattern::parse(text).value(); }
TagPattern tag_pattern(std::string_view text) { return TagPattern::parse(text).value(); }

// ---- the definition, the slow and obvious way ----

bool slow_segment(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] != '*') {
    return !text.empty() && pattern[0] == text[0] && slow_segment(pattern.substr(1), text.substr(1));
  }
  for (std::size_t taken = 0; taken <= text.size(); ++taken) {
    if (slow_segment(pattern.substr(1), text.substr(taken))) return true;
  }
  return false;
}

using Segments = std::vector<std::string>;
Segments split(std::string_view text) {
  Segments out{""};
  for (const char c : text) {
    if (c == '/') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

bool slow_match(const Segments& pattern, std::size_t p, const Segments& name, std::size_t n) {
  if (p == pattern.size()) return n == name.size();
  if (pattern[p] == "**") {
    const bool last = p + 1 == pattern.size();
    if (last) return n < name.size();
    for (std::size_t to = n; to <= name.size(); ++to) {
      if (slow_match(pattern, p + 1, name, to)) return true;
    }
    return false;
  }
  return n < name.size() && slow_segment(pattern[p], name[n]) && slow_match(pattern, p + 1, name, n + 1);
}
bool slow_match(std::string_view pattern, std::string_view name) {
  return slow_match(split(pattern), 0, split(name), 0);
}

// ---- chance ----

/// Few letters and few lengths, so that much matches.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  std::string name() {
    std::string out = segment(false);
    for (std::uint64_t n = below(4); n > 0; --n) out += "/" + segment(false);
    return out;
  }
  RepositoryPattern pattern() {
    while (true) {
      std::string text;
      for (std::uint64_t n = 1 + below(4); n > 0; --n) {
        if (!text.empty()) text += "/";
        text += below(3) == 0 ? "**" : segment(true);
      }
      auto parsed = RepositoryPattern::parse(text);
      if (parsed) return *std::move(parsed);
    }
  }
  std::string segment(bool wild) {
    std::string out;
    for (std::uint64_t n = 1 + below(3); n > 0; --n) out += wild && below(3) == 0 ? '*' : "ab"[below(2)];
    if (below(8) == 0) out += "-a";
    return out;
  }

 private:
  std::mt19937_64 random_;
};

constexpr std::uint64_t kSeed = 20'240'117;

TEST_CASE("repository patterns match what they say") {
  struct Row {
    const char* pattern;
    std::vector<const char*> matches;
    std::vector<const char*> others;
  };
  const std::vector<Row> rows = {
      {"team", {"team"}, {"team/app", "tea", "teams", "team-a"}},
      {"team/app", {"team/app"}, {"team", "team/app/x", "team/apps"}},
      {"**", {"a", "a/b", "team/app/x"}, {}},
      {"*", {"a", "team-1"}, {"a/b", "team/app"}},
      {"team/**", {"team/a", "team/a/b"}, {"team", "teams/a", "team-x/a", "a/team/b"}},
      {"team/*", {"team/a", "team/a-b"}, {"team", "team/a/b"}},
      {"team*", {"team", "team-a", "teams"}, {"team/a", "ateam"}},
      {"team*/**", {"team/a", "teams/a/b"}, {"team", "a/team/b"}},
      {"*/app", {"a/app", "team/app"}, {"app", "a/b/app", "a/apps"}},
      {"**/app", {"app", "a/app", "a/b/app"}, {"a/b/apps", "app/x", "xapp"}},
      {"a/**/b", {"a/b", "a/x/b", "a/x/y/b", "a/b/b"}, {"a", "b", "ab", "a/x", "a/b/x", "x/a/b"}},
      {"a/**/b/**", {"a/b/c", "a/x/b/c/d", "a/b/b"}, {"a/b", "a/x/b", "b/c"}},
      {"**/a/**", {"a/b", "x/a/b", "a/a"}, {"a", "x/a"}},
      {"**/*", {"a", "a/b"}, {}},
      {"*/**", {"a/b", "a/b/c"}, {"a"}},
      {"pre*mid*post", {"premidpost", "pre-mid-post", "premidmidpost"}, {"premid", "prepost", "pre/mid/post"}},
      {"*-dev", {"a-dev", "a-dev-dev"}, {"dev", "a-devs"}},
      {"a*a", {"aa", "aba", "aaa"}, {"a", "ab"}},
  };
  for (const Row& row : rows) {
    const RepositoryPattern parsed = pattern(row.pattern);
    CHECK(parsed.text() == row.pattern);
    for (const char* name : row.matches) {
      INFO(row.pattern << " and " << name);
      CHECK(parsed.matches(name));
      CHECK(std::string_view(name).starts_with(parsed.prefix()));
    }
    for (const char* name : row.others) {
      INFO(row.pattern << " and " << name);
      CHECK_FALSE(parsed.matches(name));
    }
  }
}

TEST_CASE("patterns say what they begin with") {
  struct Row {
    const char* pattern;
    const char* prefix;
  };
  for (const Row& row : std::vector<Row>{{"**", ""},
                                         {"*", ""},
                                         {"**/app", ""},
                                         {"team/**", "team/"},
                                         {"team/app", "team/app"},
                                         {"team/a*b", "team/a"},
                                         {"a/b/**/c", "a/b/"},
                                         {"team*/x", "team"}}) {
    INFO(row.pattern);
    CHECK(pattern(row.pattern).prefix() == row.prefix);
    CHECK(pattern(row.pattern).is_literal() == (std::string_view(row.pattern) == row.prefix));
  }
  CHECK(tag_pattern("v*").prefix() == "v");
  CHECK(tag_pattern("latest").prefix() == "latest");
  CHECK(RepositoryPattern::everything() == pattern("**"));
}

TEST_CASE("what could never match is no pattern") {
  const std::string long_text(256, 'a');
  const std::vector<std::string> bad = {"",
                                        "/",
                                        "a/",
                                        "/a",
                                        "a//b",
                                        "A",
                                        "a/B*",
                                        "a**",
                                        "**a",
                                        "a/***",
                                        "**/**",
                                        "a/**/**",
                                        "-a",
                                        "a-",
                                        "a/-*",
                                        "*_/b",
                                        ".*",
                                        "a b",
                                        "a*?",
                                        "a[b]",
                                        "a\\*",
                                        "..",
                                        "a/../b",
                                        "*.",
                                        "é*",
                                        "a_-b",
                                        "a:b",
                                        "a*\n",
                                        std::string("a*\0", 3),
                                        long_text,
                                        "a/*b*c*d*e*f*g*h*i*",
                                        "**/*/**/*/**/*/**/*/**"};
  for (const std::string& text : bad) {
    INFO("'" << text << "'");
    CHECK(RepositoryPattern::parse(text).failed_with(ErrorCode::request_invalid));
  }
  for (const std::string& text : std::vector<std::string>{"", "-a", ".*", "a/b", "a**", "a:b", "v?", "v 1", "é",
                                                          std::string(129, 'a'), "*1*2*3*4*5*6*7*8*9"}) {
    INFO("'" << text << "'");
    CHECK(TagPattern::parse(text).failed_with(ErrorCode::request_invalid));
  }
  CHECK(RepositoryPattern::parse("*a*a*a*a/*a*a*a*").has_value());
  CHECK(RepositoryPattern::parse(std::string(255, 'a')).has_value());
  CHECK(TagPattern::parse(std::string(128, 'a')).has_value());
}

TEST_CASE("tag patterns match what they say") {
  struct Row {
    const char* pattern;
    std::vector<const char*> matches;
    std::vector<const char*> others;
  };
  const std::vector<Row> rows = {
      {"*", {"latest", "v1", "_"}, {}},
      {"latest", {"latest"}, {"Latest", "latest-1"}},
      {"v*", {"v1", "v", "v1.0.0-rc_1"}, {"V1", "1v"}},
      {"*-rc", {"1-rc", "v1.0-rc-rc"}, {"-rcx", "rc", "1-rc1"}},
      {"v*.*.*", {"v1.2.3", "v..", "v1.2.3.4"}, {"v1.2", "1.2.3"}},
      {"sha256-*", {"sha256-ab"}, {"sha256:ab"}},
  };
  for (const Row& row : rows) {
    for (const char* tag : row.matches) {
      INFO(row.pattern << " and " << tag);
      CHECK(tag_pattern(row.pattern).matches(tag));
    }
    for (const char* tag : row.others) {
      INFO(row.pattern << " and " << tag);
      CHECK_FALSE(tag_pattern(row.pattern).matches(tag));
    }
  }
  CHECK(tag_pattern("*").covers(tag_pattern("v*")));
  CHECK(tag_pattern("v*").covers(tag_pattern("v1*")));
  CHECK(tag_pattern("v*").covers(tag_pattern("v1")));
  CHECK_FALSE(tag_pattern("v1*").covers(tag_pattern("v*")));
  CHECK_FALSE(tag_pattern("v1").covers(tag_pattern("v*")));
}

TEST_CASE("a pattern knows which others it holds") {
  struct Row {
    const char* pattern;
    const char* other;
    bool covers;
  };
  const std::vector<Row> rows = {
      {"**", "**", true},
      {"**", "a/*", true},
      {"**", "*/**", true},
      {"**/*", "**", true},
      {"*", "**", false},
      {"*/**", "**", false},
      {"team/**", "team", false},
      {"team/**", "team/a", true},
      {"team/**", "team/*", true},
      {"team/*", "team/**", false},
      {"team/**", "team/**", true},
      {"team/**", "team/a/**", true},
      {"team/a/**", "team/**", false},
      {"team/*/**", "team/a/b", true},
      {"team/*/**", "team/**", false},
      {"*/app", "team/app", true},
      {"*/app", "**/app", false},
      {"**/app", "*/app", true},
      {"**/app", "app", true},
      {"**/app", "a/**/app", true},
      {"a*", "ab*", true},
      {"ab*", "a*", false},
      {"a*b", "a*x*b", true},
      {"a*x*b", "a*b", false},
      {"a/**/b", "a/b", true},
      {"a/**/b", "a/**", false},
      {"a/**", "a/**/b", true},
      {"*", "*a*", true},
      {"a/**/b/**", "a/b/**", true},
      {"*/**", "a/**", true},
      {"*/**", "a*/b/**/c", true},
  };
  for (const Row& row : rows) {
    INFO(row.pattern << " and " << row.other);
    CHECK(pattern(row.pattern).covers(pattern(row.other)) == row.covers);
  }
}

TEST_CASE("patterns match as one that tries everything says") {
  Chance chance(kSeed);
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i) {
    names.push_back(chance.name());
    REQUIRE(oci::RepositoryName::parse(names.back()).has_value());
  }
  int matched = 0;
  int covered = 0;
  RepositoryPattern before = RepositoryPattern::everything();
  for (int i = 0; i < 2'000; ++i) {
    const RepositoryPattern made = chance.pattern();
    const bool covers = made.covers(before);
    covered += covers ? 1 : 0;
    for (const std::string& name : names) {
      const bool expected = slow_match(made.text(), name);
      const bool right = made.matches(name) == expected && (!expected || name.starts_with(made.prefix())) &&
                         (!covers || expected || !before.matches(name));
      if (!right) FAIL("seed " << kSeed << ": " << made.text() << " and " << before.text() << " and " << name);
      matched += expected ? 1 : 0;
    }
    before = made;
  }
  CHECK(matched > 10'000);  // else the test says little
  CHECK(covered > 100);
}

TEST_CASE("no pattern is slow") {
  const std::string same(255, 'a');
  std::string deep = "a";
  while (deep.size() + 2 <= 255) deep += "/a";
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"*a*a*a*a*a*a*a*b", same},
      {"*" + std::string(100, 'a') + "*" + std::string(100, 'a') + "b", same},
      {"**/a*/**/a*/**/a*/**/b", deep},
      {"**/" + deep.substr(0, 127) + "/b", deep},
  };
  const auto start = std::chrono::steady_clock::now();
  for (const auto& [text, name] : rows) {
    const RepositoryPattern parsed = pattern(text);
    for (int i = 0; i < 100; ++i) REQUIRE_FALSE(parsed.matches(name));
  }
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));  // 400 of them, in any build
}

TEST_CASE("an index of patterns finds what a walk over all finds") {
  Chance chance(kSeed + 1);
  for (int round = 0; round < 100; ++round) {
    INFO("seed " << kSeed + 1 << ", round " << round);
    std::vector<RepositoryPattern> patterns, others;
    PatternIndex index, other_index;
    for (std::uint64_t n = chance.below(30); n > 0; --n) {
      if (chance.below(5) != 0)
        patterns.push_back(chance.pattern());
      else
        patterns.push_back(pattern(chance.name()));
    }
    for (std::uint64_t n = chance.below(6); n > 0; --n) others.push_back(pattern(chance.name() + "/**"));
    for (std::size_t i = 0; i < patterns.size(); ++i) index.add(patterns[i], static_cast<std::uint32_t>(i));
    for (const RepositoryPattern& one : others) other_index.add(one, 0);
    index.build();
    other_index.build();
    const auto ranges = index.ranges();
    const auto both = intersect(ranges, other_index.ranges());
    const auto in = [](const std::vector<kv::KeyRange>& where, const std::string& name) {
      return std::ranges::count_if(
          where, [&](const kv::KeyRange& r) { return r.begin <= name && (r.end.empty() || name < r.end); });
    };
    for (const auto& where : {ranges, both}) {
      for (std::size_t i = 1; i < where.size(); ++i) REQUIRE(where[i - 1].end < where[i].begin + '\0');
    }
    for (int i = 0; i < 40; ++i) {
      const std::string name = chance.name();
      std::set<std::uint32_t> expected, found;
      for (std::size_t p = 0; p < patterns.size(); ++p) {
        if (patterns[p].matches(name)) expected.insert(static_cast<std::uint32_t>(p));
      }
      index.any(name, [&](std::uint32_t value) {
        REQUIRE(found.insert(value).second);
        return false;
      });
      REQUIRE(found == expected);
      REQUIRE(index.matches(name) == !expected.empty());
      REQUIRE(in(ranges, name) <= 1);
      if (!expected.empty()) REQUIRE(in(ranges, name) == 1);
      REQUIRE(in(both, name) == in(ranges, name) * in(other_index.ranges(), name));
    }
  }
}

TEST_CASE("the ranges of patterns hold no more than they must") {
  struct Row {
    const char* name;
    std::vector<const char*> patterns;
    std::string ranges;
  };
  const std::vector<Row> rows = {
      {"none", {}, ""},
      {"everything", {"team/**", "**", "a"}, "[,)"},
      {"a name alone", {"team"}, "[team,team0)"},
      {"a tree", {"team/**"}, "[team/,team0)"},
      {"in order", {"b/**", "a", "c/*"}, "[a,a0)[b/,b0)[c/,c0)"},
      {"one in another", {"team/a/**", "team/**", "team/b"}, "[team/,team0)"},
      {"a name and its tree", {"team", "team/**"}, "[team,team0)[team/,team0)"},
      {"twice", {"a", "a"}, "[a,a0)"},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    PatternIndex index;
    for (const char* text : row.patterns) index.add(pattern(text), 0);
    index.build();
    std::string said;
    for (const kv::KeyRange& range : index.ranges()) said += "[" + range.begin + "," + range.end + ")";
    std::ranges::replace(said, '\0', '0');
    CHECK(said == row.ranges);
  }
}

}  // namespace
}  // namespace berth::registry
