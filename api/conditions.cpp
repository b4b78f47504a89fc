#include "api/conditions.h"

#include <vector>

namespace berth::api {

namespace {

struct EntityTag {
  std::string_view text;  ///< without quotes
  bool weak = false;
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

EntityTag parse_tag(std::string_view text) {
  EntityTag tag{trim(text)};
  if (tag.text.starts_with("W/")) {
    tag.weak = true;
    tag.text.remove_prefix(2);
  }
  if (tag.text.size() >= 2 && tag.text.front() == '"' && tag.text.back() == '"') {
    tag.text = tag.text.substr(1, tag.text.size() - 2);
  }
  return tag;
}

// Digests hold no commas, so a comma always separates; a tag that is no digest equals nothing anyway.
std::vector<EntityTag> parse_tags(const Headers& headers, std::string_view name) {
  std::vector<EntityTag> tags;
  for (std::string_view line : headers.all(name)) {
    while (true) {
      const std::size_t comma = line.find(',');
      const EntityTag tag = parse_tag(line.substr(0, comma));
      if (!tag.text.empty()) tags.push_back(tag);
      if (comma == std::string_view::npos) break;
      line.remove_prefix(comma + 1);
    }
  }
  return tags;
}

}  // namespace

std::string etag(const oci::Digest& digest) {
  std::string tag = digest.to_string();
  tag.insert(tag.begin(), '"');
  tag += '"';
  return tag;
}

ReadCondition check_read(const Headers& headers, const oci::Digest& current) {
  if (!headers.has("If-Match") && !headers.has("If-None-Match")) return ReadCondition::proceed;
  const std::string digest = current.to_string();
  if (headers.has("If-Match")) {
    bool matches = false;
    for (const EntityTag& tag : parse_tags(headers, "If-Match")) {
      matches = matches || tag.text == "*" || (!tag.weak && tag.text == digest);
    }
    if (!matches) return ReadCondition::failed;
  }
  // The weak comparison: W/ makes no difference here.
  for (const EntityTag& tag : parse_tags(headers, "If-None-Match")) {
    if (tag.text == "*" || tag.text == digest) return ReadCondition::not_modified;
  }
  return ReadCondition::proceed;
}

bool range_applies(const Headers& headers, const oci::Digest& current) {
  if (!headers.has("If-Range")) return true;
  const EntityTag tag = parse_tag(headers.get("If-Range"));  // a date never equals a digest: the whole blob then
  return !tag.weak && tag.text == current.to_string();
}

Result<registry::Precondition> write_precondition(const Headers& headers) {
  registry::Precondition precondition;
  for (const EntityTag& tag : parse_tags(headers, "If-None-Match")) {
    if (tag.text != "*") {
      return make_error(ErrorCode::request_invalid, "If-None-Match on a write can only be *: the tag must not exist");
    }
    precondition.must_not_exist = true;
  }
  if (!headers.has("If-Match")) return precondition;
  for (const EntityTag& tag : parse_tags(headers, "If-Match")) {
    if (tag.text == "*") {
      precondition.must_exist = true;
    } else {
      // A weak tag never matches on a write (RFC 9110 §13.1.1); with its mark it equals no digest.
      precondition.must_match.push_back((tag.weak ? "W/" : "") + std::string(tag.text));
    }
  }
  // `*` beside others says no more than `*`; an empty If-Match names nothing, and nothing matches it.
  if (precondition.must_exist) precondition.must_match.clear();
  if (!precondition.any()) precondition.must_match.emplace_back();
  return precondition;
}

}  // namespace berth::api
