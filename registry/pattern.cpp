#include "registry/pattern.h"

#include <algorithm>

#include "oci/name.h"

namespace berth::registry {

namespace {

constexpr std::string_view kAnySegments = "**";

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_separator(char c) { return c == '.' || c == '_' || c == '-'; }
bool is_tag_byte(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || is_separator(c); }

std::string_view head(std::string_view segments) { return segments.substr(0, segments.find('/')); }
/// What follows the first segment; empty at the end, for no segment is empty.
std::string_view rest(std::string_view segments) {
  const std::size_t slash = segments.find('/');
  return slash == std::string_view::npos ? std::string_view{} : segments.substr(slash + 1);
}

/// One segment with `*`. When a byte does not fit, only the last star takes one more: an earlier star could not do
/// better, since what stands between the two already lies as far to the left as it can.
bool matches_segment(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t after_star = std::string_view::npos;
  std::size_t star_ends = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      after_star = ++p;
      star_ends = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (after_star != std::string_view::npos) {
      p = after_star;
      t = ++star_ends;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

/// The same one level up: `**` takes whole segments. `name` may hold wildcards itself, which then stand for text that
/// only a wildcard of the same kind is sure to take.
bool matches_segments(std::string_view pattern, std::string_view name) {
  bool passed_any = false;
  std::string_view after_any;
  std::string_view any_ends;
  while (true) {
    if (head(pattern) == kAnySegments) {
      pattern = rest(pattern);
      if (pattern.empty()) return !name.empty();
      passed_any = true;
      after_any = pattern;
      any_ends = name;
    } else if (pattern.empty() && name.empty()) {
      return true;
    } else if (!pattern.empty() && !name.empty() && head(name) != kAnySegments &&
               matches_segment(head(pattern), head(name))) {
      pattern = rest(pattern);
      name = rest(name);
    } else if (passed_any && !any_ends.empty()) {
      any_ends = rest(any_ends);
      pattern = after_any;
      name = any_ends;
    } else {
      return false;
    }
  }
}

Error invalid(std::string_view what, std::string_view text, std::string_view why) {
  std::string message(what);
  message.append(" '").append(text.substr(0, RepositoryPattern::kSizeMax)).append("': ").append(why);
  return make_error(ErrorCode::request_invalid, std::move(message));
}

/// Why a segment with `*` could never match; empty when it could.
std::string_view complaint(std::string_view segment) {
  const auto is_byte = [](char c) { return is_lower_alnum(c) || is_separator(c) || c == '*'; };
  if (!std::ranges::all_of(segment, is_byte)) return "it takes lower-case letters, digits, '.', '_', '-', '*' and '/'";
  if (segment.find(kAnySegments) != std::string_view::npos) return "'**' stands alone between slashes";
  if (is_separator(segment.front()) || is_separator(segment.back())) {
    return "no part of a name begins or ends with '.', '_' or '-'";
  }
  return {};
}

}  // namespace

Result<RepositoryPattern> RepositoryPattern::parse(std::string_view text) {
  constexpr std::string_view kWhat = "the repository pattern";
  if (text.empty()) return invalid(kWhat, text, "it is empty; '**' is every repository");
  if (text.size() > kSizeMax) return invalid(kWhat, text, "it has more than 255 characters");
  if (text.front() == '/' || text.back() == '/' || text.find("//") != std::string_view::npos) {
    return invalid(kWhat, text, "no part between slashes is empty");
  }
  std::size_t wildcards = 0;
  bool after_any = false;
  for (std::string_view left = text; !left.empty(); left = rest(left)) {
    const std::string_view segment = head(left);
    const bool any = segment == kAnySegments;
    if (any && after_any) return invalid(kWhat, text, "'**' follows '**'");
    after_any = any;
    if (any) {
      ++wildcards;
    } else if (segment.find('*') == std::string_view::npos) {
      const auto name = oci::RepositoryName::parse(segment);
      if (!name) return invalid(kWhat, text, name.error().message);
    } else {
      const std::string_view why = complaint(segment);
      if (!why.empty()) return invalid(kWhat, text, why);
      wildcards += static_cast<std::size_t>(std::ranges::count(segment, '*'));
    }
  }
  if (wildcards > kPatternWildcardsMax) return invalid(kWhat, text, "it has more than 8 wildcards");

  const std::size_t star = text.find('*');
  if (star == std::string_view::npos) return RepositoryPattern(std::string(text), Kind::literal, text.size());
  if (text == kAnySegments) return everything();
  const bool tree = star + 2 == text.size() && text.ends_with("/**");
  return RepositoryPattern(std::string(text), tree ? Kind::tree : Kind::general, star);
}

RepositoryPattern RepositoryPattern::everything() {
  return RepositoryPattern(std::string(kAnySegments), Kind::everything, 0);
}

bool RepositoryPattern::matches(std::string_view name) const {
  switch (kind_) {
    case Kind::literal:
      return name == text_;
    case Kind::everything:
      return true;
    case Kind::tree:
      return name.size() > prefix_size_ && name.starts_with(prefix());
    case Kind::general:
      break;
  }
  return name.starts_with(prefix()) && matches_segments(text_, name);
}

bool RepositoryPattern::covers(const RepositoryPattern& other) const {
  if (kind_ == Kind::everything) return true;
  if (other.is_literal()) return matches(other.text_);
  // At the end `**` is one segment or more: any number and then one.
  const std::string_view written = other.text_;
  if (head(written.substr(written.rfind('/') + 1)) != kAnySegments) return matches_segments(text_, written);
  return matches_segments(text_, other.text_ + "/*");
}

Result<TagPattern> TagPattern::parse(std::string_view text) {
  constexpr std::string_view kWhat = "the tag pattern";
  if (text.empty()) return invalid(kWhat, text, "it is empty; '*' is every tag");
  if (text.size() > kSizeMax) return invalid(kWhat, text, "it has more than 128 characters");
  const auto is_byte = [](char c) { return is_tag_byte(c) || c == '*'; };
  if (!std::ranges::all_of(text, is_byte))
    return invalid(kWhat, text, "it takes letters, digits, '_', '.', '-' and '*'");
  if (text.front() == '.' || text.front() == '-') return invalid(kWhat, text, "no tag begins with '.' or '-'");
  if (text.find("**") != std::string_view::npos) return invalid(kWhat, text, "'*' follows '*'");
  if (static_cast<std::size_t>(std::ranges::count(text, '*')) > kPatternWildcardsMax) {
    return invalid(kWhat, text, "it has more than 8 wildcards");
  }
  return TagPattern(std::string(text));
}

bool TagPattern::matches(std::string_view tag) const { return matches_segment(text_, tag); }

bool TagPattern::covers(const TagPattern& other) const { return matches_segment(text_, other.text_); }

void PatternIndex::build() {
  std::ranges::sort(entries_, [](const Entry& a, const Entry& b) {
    const int order = a.pattern.prefix().compare(b.pattern.prefix());
    return order != 0 ? order < 0 : a.value > b.value;  // the chain runs backwards
  });
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    std::uint32_t up = i == 0 ? kNone : i - 1;
    while (up != kNone && !entries_[i].pattern.prefix().starts_with(entries_[up].pattern.prefix())) {
      up = entries_[up].up;
    }
    entries_[i].up = up;
  }
}

std::uint32_t PatternIndex::last_not_above(std::string_view name) const {
  const auto above = std::ranges::upper_bound(entries_, name, {}, [](const Entry& e) { return e.pattern.prefix(); });
  std::uint32_t at = above == entries_.begin() ? kNone : static_cast<std::uint32_t>(above - entries_.begin() - 1);
  while (at != kNone && !name.starts_with(entries_[at].pattern.prefix())) at = entries_[at].up;
  return at;
}

std::vector<kv::KeyRange> PatternIndex::ranges() const {
  std::vector<kv::KeyRange> ranges;
  for (const Entry& entry : entries_) {
    kv::KeyRange range = kv::prefix_range(entry.pattern.prefix());
    if (entry.pattern.is_literal()) range.end = entry.pattern.text() + '\0';
    // In order of their beginnings, so a range can only reach into the one before it.
    if (!ranges.empty() && (ranges.back().end.empty() || range.begin < ranges.back().end)) {
      std::string& end = ranges.back().end;
      if (!end.empty() && (range.end.empty() || range.end > end)) end = std::move(range.end);
    } else {
      ranges.push_back(std::move(range));
    }
  }
  return ranges;
}

std::vector<kv::KeyRange> intersect(const std::vector<kv::KeyRange>& a, const std::vector<kv::KeyRange>& b) {
  const auto ends_first = [](const std::string& x, const std::string& y) { return !x.empty() && (y.empty() || x < y); };
  std::vector<kv::KeyRange> both;
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() && j < b.size()) {
    const std::string& end = ends_first(a[i].end, b[j].end) ? a[i].end : b[j].end;
    const std::string& begin = std::max(a[i].begin, b[j].begin);
    if (end.empty() || begin < end) both.push_back({begin, end});
    ends_first(a[i].end, b[j].end) ? ++i : ++j;
  }
  return both;
}

}  // namespace berth::registry
