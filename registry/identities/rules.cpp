#include "registry/identities/rules.h"

#include <algorithm>
#include <set>

#include "base/json_text.h"
#include "registry/pattern.h"

namespace berth::registry {

namespace {

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_name_char(char c) { return is_lower_or_digit(c) || c == '.' || c == '_' || c == '@' || c == '-'; }

bool is_plain_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = utf8_sequence_size(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (size == 0 || first < 0x20 || first == 0x7f) return false;
    // U+0080 to U+009F are control characters as well.
    if (first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) return false;
    text.remove_prefix(size);
  }
  return true;
}

template <class Pattern>
Result<void> check_patterns(const std::vector<std::string>& patterns, std::size_t count_max, const std::string& what) {
  if (patterns.size() > count_max) {
    return invalid("at most " + std::to_string(count_max) + " " + what + " patterns can be named");
  }
  std::set<std::string_view> seen;
  for (const std::string& pattern : patterns) {
    BERTH_CHECK(Pattern::parse(pattern));
    if (!seen.insert(pattern).second) return invalid("a " + what + " pattern is named twice: " + pattern);
  }
  return {};
}

}  // namespace

Error invalid(std::string message) { return make_error(ErrorCode::request_invalid, std::move(message)); }

Error unknown_identity(std::string_view what, std::string_view name) {
  return make_error(kIdentityUnknown, "there is no " + std::string(what) + " " + std::string(name));
}

Error identity_conflict(std::string message) { return make_error(kIdentityConflict, std::move(message)); }

const BuiltInRole* find_built_in_role(std::string_view name) {
  const auto* const found = std::ranges::find(kBuiltInRoles, name, &BuiltInRole::name);
  return found == std::end(kBuiltInRoles) ? nullptr : found;
}

std::string lower_case(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

Result<void> check_name(std::string_view name, std::string_view what) {
  const bool good = !name.empty() && name.size() <= identity_limits::name_bytes && is_lower_or_digit(name.front()) &&
                    is_lower_or_digit(name.back()) && std::ranges::all_of(name, is_name_char);
  if (good) return {};
  return invalid(std::string(what) +
                 " is 1 to 64 of the letters a to z, digits and . _ @ -, the first and the last a letter or digit");
}

Result<void> check_text(std::string_view text, std::size_t bytes_max, std::string_view what) {
  if (text.size() > bytes_max) {
    return invalid(std::string(what) + " is at most " + std::to_string(bytes_max) + " bytes long");
  }
  if (!is_plain_text(text)) return invalid(std::string(what) + " is UTF-8 text without control characters");
  return {};
}

Result<SubjectKind> parse_subject(std::string_view subject) {
  BERTH_CHECK(check_text(subject, identity_limits::subject_bytes, "a subject"));
  if (subject == "authenticated") return SubjectKind::authenticated;
  if (subject == "anonymous") return SubjectKind::anonymous;
  const std::size_t colon = subject.find(':');
  const std::string_view kind = subject.substr(0, colon);
  const std::string_view name = colon == std::string_view::npos ? "" : subject.substr(colon + 1);
  struct Named {
    std::string_view word;
    SubjectKind kind;
  };
  constexpr Named kNamed[] = {
      {"user", SubjectKind::user}, {"robot", SubjectKind::robot}, {"group", SubjectKind::group}};
  for (const Named& one : kNamed) {
    if (kind != one.word) continue;
    BERTH_CHECK(check_name(name, "the name in a subject"));
    return one.kind;
  }
  if (kind == "certificate" && !name.empty()) return SubjectKind::certificate;
  const std::size_t second = name.find(':');
  const bool has_both = second != std::string_view::npos && second > 0 && second + 1 < name.size();
  if (kind == "federated" && has_both) return SubjectKind::federated;
  return invalid(
      "a subject is user:NAME, robot:NAME, group:NAME, federated:ISSUER:SUB, certificate:NAME, authenticated or "
      "anonymous");
}

std::string lower_case_subject(std::string_view subject) {
  for (const std::string_view prefix : {"user:", "robot:", "group:"}) {
    if (subject.starts_with(prefix)) return lower_case(subject);
  }
  return std::string(subject);
}

Result<void> check_actions(ActionMask actions) {
  if (actions == 0) return invalid("name at least one action");
  if ((actions & ~action::all) != 0) return invalid("there is no such action");
  return {};
}

Result<void> check_expiry(WallTime expires_at, WallTime now) {
  constexpr WallTime kYear10000{std::chrono::milliseconds(253'402'300'800'000)};
  if (expires_at == WallTime{}) return {};
  if (expires_at <= now) return invalid("it would have expired already");
  if (expires_at >= kYear10000) return invalid("it would expire too late to be told");
  return {};
}

Result<void> check_repository_patterns(const std::vector<std::string>& patterns, std::size_t count_min,
                                       std::size_t count_max) {
  if (patterns.size() < count_min) return invalid("name at least one repository pattern");
  return check_patterns<RepositoryPattern>(patterns, count_max, "repository");
}

Result<void> check_tag_patterns(const std::vector<std::string>& patterns, std::size_t count_max) {
  return check_patterns<TagPattern>(patterns, count_max, "tag");
}

Result<void> check_ceiling(const Ceiling& ceiling) {
  if (!ceiling) return {};
  if (ceiling->empty()) return invalid("a ceiling without a line would allow nothing");
  if (ceiling->size() > identity_limits::ceiling_entries) {
    return invalid("a ceiling has at most " + std::to_string(identity_limits::ceiling_entries) + " lines");
  }
  for (const CeilingEntry& entry : *ceiling) {
    BERTH_CHECK(check_actions(entry.actions));
    BERTH_CHECK(check_repository_patterns(entry.repositories, 1, identity_limits::patterns_per_ceiling_entry));
  }
  return {};
}

}  // namespace berth::registry
