// Patterns over repository names and tags: what grants, scopes and lists are written in.
//
// A repository pattern is segments joined by '/'. In a segment `*` stands for any text without a slash, also none; the
// segment `**` stands for any number of segments, also none, but at the end for at least one: `team/**` is all below
// `team` and not `team` itself, and `**` is everything. A tag pattern is one segment, with `*` alone.
//
// Matching never looks back over a wildcard it has passed, and both sides are bounded, so no pattern is slow. It does
// not allocate.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "storage/kv/kv.h"

namespace berth::registry {

/// Patterns with more wildcards are refused.
inline constexpr std::size_t kPatternWildcardsMax = 8;

/// A value, const after construction.
class RepositoryPattern {
 public:
  static constexpr std::size_t kSizeMax = 255;  ///< bytes, as of a name
  /// Errors: request_invalid (also for what could never match a name).
  static Result<RepositoryPattern> parse(std::string_view text);
  /// `**`
  static RepositoryPattern everything();

  /// `name` is a repository name.
  bool matches(std::string_view name) const;
  /// The longest text that every match is known to begin with; empty when there is none.
  std::string_view prefix() const { return std::string_view(text_).substr(0, prefix_size_); }
  /// Does this match all that `other` matches? A yes is always right. A no may be wrong for a set written in two ways,
  /// such as `*/**` and `**/*/*`.
  bool covers(const RepositoryPattern& other) const;
  const std::string& text() const { return text_; }

  bool is_literal() const { return kind_ == Kind::literal; }  ///< it matches one name
  bool is_everything() const { return kind_ == Kind::everything; }
  auto operator<=>(const RepositoryPattern&) const = default;

 private:
  /// What is most common needs no walk over the segments.
  enum class Kind : std::uint8_t { literal, everything, tree, general };
  RepositoryPattern(std::string text, Kind kind, std::size_t prefix_size)
      : text_(std::move(text)), kind_(kind), prefix_size_(prefix_size) {}
  std::string text_;
  Kind kind_;
  std::size_t prefix_size_;
};

/// A value, const after construction.
class TagPattern {
 public:
  static constexpr std::size_t kSizeMax = 128;  ///< bytes, as of a tag
  /// Errors: request_invalid (also for what could never match a tag).
  static Result<TagPattern> parse(std::string_view text);

  bool matches(std::string_view tag) const;
  /// As of RepositoryPattern.
  std::string_view prefix() const { return std::string_view(text_).substr(0, text_.find('*')); }
  /// Does this match all that `other` matches?
  bool covers(const TagPattern& other) const;
  const std::string& text() const { return text_; }
  auto operator<=>(const TagPattern&) const = default;

 private:
  explicit TagPattern(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// Many repository patterns, each with a number of the caller's, found by name without looking at them all.
///
/// How it works: the entries lie in the order of their prefixes, and each knows the nearest one before it whose prefix
/// its own begins with. The entries whose prefix a name begins with are then one chain: it starts at the last entry
/// that is not above the name and goes up. Const after build().
class PatternIndex {
 public:
  void add(RepositoryPattern pattern, std::uint32_t value) { entries_.push_back({std::move(pattern), value, kNone}); }
  /// After the last add() and before everything else.
  void build();

  /// Calls `visit(value)` for the entries that match `name` until one call answers true. Answers whether one did.
  /// Entries with longer prefixes come first; equal ones in the order of their values.
  template <class Visit>
  bool any(std::string_view name, Visit visit) const {
    for (std::uint32_t i = last_not_above(name); i != kNone; i = entries_[i].up) {
      const Entry& entry = entries_[i];
      if (entry.pattern.matches(name) && visit(entry.value)) return true;
    }
    return false;
  }
  bool matches(std::string_view name) const {
    return any(name, [](std::uint32_t) { return true; });
  }
  /// The ranges of names that hold every match, in order and apart from each other.
  std::vector<kv::KeyRange> ranges() const;
  bool empty() const { return entries_.empty(); }

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  struct Entry {
    RepositoryPattern pattern;
    std::uint32_t value = 0;
    std::uint32_t up = kNone;
  };
  std::uint32_t last_not_above(std::string_view name) const;
  std::vector<Entry> entries_;
};

/// What lies in both of two lists of ranges, each in order and apart.
std::vector<kv::KeyRange> intersect(const std::vector<kv::KeyRange>& a, const std::vector<kv::KeyRange>& b);

}  // namespace berth::registry
