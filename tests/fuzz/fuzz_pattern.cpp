// Patterns over repository names and tags. Input: lines, the first two patterns, the third a name. The oracle fills a
// table of what matches from where, and shares nothing with the matcher.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oci/name.h"
#include "registry/pattern.h"
#include "tests/fuzz/property.h"

using namespace berth;
using registry::PatternIndex;
using registry::RepositoryPattern;
using registry::TagPattern;

namespace {

using Segments = std::vector<std::string_view>;

Segments split(std::string_view text, char at) {
  Segments out;
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find(at, begin);
    out.push_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return out;
    begin = end + 1;
  }
}

/// Does `pattern` match `text`, both made of units, where a unit may stand for any number of others?
template <class Units, class Any, class Fits>
bool fill_table(const Units& pattern, const Units& text, Any any, Fits fits) {
  std::vector<std::vector<char>> from(pattern.size() + 1, std::vector<char>(text.size() + 1, 0));
  from[pattern.size()][text.size()] = 1;
  for (std::size_t p = pattern.size(); p-- > 0;) {
    for (std::size_t t = text.size() + 1; t-- > 0;) {
      const bool more = t < text.size();
      if (any(pattern[p])) {
        from[p][t] = static_cast<char>(from[p + 1][t] != 0 || (more && from[p][t + 1] != 0));
      } else {
        from[p][t] = static_cast<char>(more && fits(pattern[p], text[t]) && from[p + 1][t + 1] != 0);
      }
    }
  }
  return from[0][0] != 0;
}

bool segment_matches(std::string_view pattern, std::string_view text) {
  return fill_table(pattern, text, [](char c) { return c == '*'; }, [](char a, char b) { return a == b; });
}

bool oracle(std::string_view pattern, std::string_view name) {
  Segments segments = split(pattern, '/');
  if (segments.back() == "**") segments.emplace_back("*");  // at the end at least one
  return fill_table(segments, split(name, '/'), [](std::string_view s) { return s == "**"; }, segment_matches);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Segments lines = split(input, '\n');
  lines.resize(3);
  const auto pattern = RepositoryPattern::parse(lines[0]);
  const auto other = RepositoryPattern::parse(lines[1]);
  const auto name = oci::RepositoryName::parse(lines[2]);
  for (const auto* parsed : {&pattern, &other}) {
    if (*parsed) {
      require((*parsed)->covers(**parsed), "a pattern covers itself");
      require(RepositoryPattern::everything().covers(**parsed), "everything covers every pattern");
    } else {
      require(parsed->error().code == ErrorCode::request_invalid, "a refused pattern is request_invalid");
    }
  }
  const auto tags = TagPattern::parse(lines[0]);
  const auto tag = oci::Tag::parse(lines[1]);
  if (tags && tag) require(tags->matches(tag->text()) == segment_matches(lines[0], lines[1]), "tags match as they say");
  ignore(tags);
  ignore(tag);
  if (!name || !pattern) {
    ignore(name);
    return 0;
  }
  require(pattern->text() == lines[0], "a pattern is its text");
  const bool matches = pattern->matches(name->text());
  require(matches == oracle(lines[0], lines[2]), "names match as they say");
  require(!matches || name->text().starts_with(pattern->prefix()), "a match begins with the prefix");
  if (!other) return 0;
  const bool other_matches = other->matches(name->text());
  require(!pattern->covers(*other) || !other_matches || matches, "what is covered is matched");
  PatternIndex index;
  index.add(*pattern, 1);
  index.add(*other, 2);
  index.build();
  unsigned found = 0;
  index.any(name->text(), [&found](std::uint32_t value) { return found |= value, false; });
  require(found == (matches ? 1U : 0U) + (other_matches ? 2U : 0U), "an index finds what matches");
  unsigned ranges = 0;
  for (const auto& range : index.ranges()) {
    if (range.begin <= name->text() && (range.end.empty() || name->text() < range.end)) ++ranges;
  }
  require(ranges <= 1 && (found == 0 || ranges == 1), "what matches lies in one range");
  return 0;
}
