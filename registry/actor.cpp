#include "registry/actor.h"

#include <algorithm>

namespace berth::registry {

namespace {

template <class Pattern>
bool any_matches(const std::vector<Pattern>& patterns, std::string_view text) {
  return std::ranges::any_of(patterns, [text](const Pattern& pattern) { return pattern.matches(text); });
}

}  // namespace

bool Visibility::shows(std::string_view name) const {
  return (all || any_matches(patterns, name)) && (!within || any_matches(*within, name));
}

bool TagSet::contains(std::string_view tag) const { return all || any_matches(patterns, tag); }

}  // namespace berth::registry
