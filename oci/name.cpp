#include "oci/name.h"

#include <algorithm>
#include <utility>

namespace berth::oci {
namespace {

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool is_tag_start(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_tag_byte(char c) { return is_tag_start(c) || c == '.' || c == '-'; }

/// Length of the separator at the start of `text`: `.`, `_`, `__` or `-+`; 0 when there is none.
std::size_t separator_size(std::string_view text) {
  if (text.starts_with("__")) return 2;
  if (text.starts_with('.') || text.starts_with('_')) return 1;
  return std::min(text.find_first_not_of('-'), text.size());
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
bool is_component(std::string_view text) {
  if (text.empty() || !is_lower_alnum(text.front())) return false;
  while (!text.empty()) {
    if (is_lower_alnum(text.front())) {
      text.remove_prefix(1);
      continue;
    }
    const std::size_t separator = separator_size(text);
    if (separator == 0) return false;
    text.remove_prefix(separator);
    if (text.empty() || !is_lower_alnum(text.front())) return false;
  }
  return true;
}

bool is_repository_name(std::string_view text) {
  while (true) {
    const std::size_t slash = text.find('/');
    if (!is_component(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

}  // namespace

Result<RepositoryName> RepositoryName::parse(std::string_view text) {
  if (text.size() > kSizeMax) {
    return make_error(ErrorCode::name_invalid, "a repository name has at most 255 characters");
  }
  if (!is_repository_name(text)) {
    return make_error(ErrorCode::name_invalid,
                      "a repository name is made of lower-case letters and digits, joined by '.', '_', '__' or '-', "
                      "in parts separated by '/'");
  }
  return RepositoryName(std::string(text));
}

Result<Tag> Tag::parse(std::string_view text) {
  if (text.size() > kSizeMax) return make_error(ErrorCode::tag_invalid, "a tag has at most 128 characters");
  if (text.empty() || !is_tag_start(text.front()) || !std::all_of(text.begin(), text.end(), is_tag_byte)) {
    return make_error(ErrorCode::tag_invalid,
                      "a tag is made of letters, digits, '_', '.' and '-', and starts with a letter, a digit or '_'");
  }
  return Tag(std::string(text));
}

Result<Reference> parse_reference(std::string_view text) {
  if (text.find(':') != std::string_view::npos) {
    BERTH_TRY(Digest digest, Digest::parse(text));
    return Reference(std::move(digest));
  }
  BERTH_TRY(Tag tag, Tag::parse(text));
  return Reference(std::move(tag));
}

std::string to_string(const Reference& reference) {
  if (const auto* tag = std::get_if<Tag>(&reference)) return tag->text();
  return std::get<Digest>(reference).to_string();
}

}  // namespace berth::oci
