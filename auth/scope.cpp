#include "auth/scope.h"

#include <algorithm>
#include <utility>

namespace berth::auth {
namespace {

struct Word {
  std::string_view text;
  ScopeAction action;
};
constexpr Word kWords[] = {
    {"pull", ScopeAction::pull},      {"push", ScopeAction::push}, {"overwrite", ScopeAction::overwrite},
    {"delete", ScopeAction::delete_}, {"*", ScopeAction::all}};

constexpr std::string_view kRepository = "repository";
constexpr std::string_view kTypeBytes = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::size_t kTypeSizeMax = 64;

bool is_type_word(std::string_view text) {
  return !text.empty() && text.size() <= kTypeSizeMax && text.find_first_not_of(kTypeBytes) == std::string_view::npos;
}

/// What repositories, hosts and ports are written with: nothing that ends a quoted text or starts another parameter.
bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' ||
         c == '/' || c == ':' || c == '[' || c == ']';
}

/// The type without its class, which is deprecated and means nothing here. Empty when it is none.
std::string_view plain_type(std::string_view text) {
  const std::size_t open = text.find('(');
  if (open == std::string_view::npos) return is_type_word(text) ? text : std::string_view();
  if (!text.ends_with(')')) return {};
  const std::string_view inner = text.substr(open + 1, text.size() - open - 2);
  return is_type_word(text.substr(0, open)) && is_type_word(inner) ? text.substr(0, open) : std::string_view();
}

}  // namespace

ScopeActions ScopeActions::parse(std::string_view text) {
  ScopeActions actions;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    for (const Word& word : kWords) {
      if (text.substr(0, comma) == word.text) actions = actions | ScopeActions{word.action};
    }
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return actions;
}

std::vector<std::string_view> ScopeActions::words() const {
  std::vector<std::string_view> words;
  for (const Word& word : kWords) {
    if (has(word.action)) words.push_back(word.text);
  }
  return words;
}

std::string ScopeActions::text() const {
  std::string text;
  for (const std::string_view word : words()) {
    if (!text.empty()) text += ',';
    text += word;
  }
  return text;
}

Scope Scope::repository(const oci::RepositoryName& name, ScopeActions actions) {
  return {std::string(kRepository), name.text(), actions};
}

Scope Scope::catalog() { return {"registry", "catalog", {ScopeAction::all}}; }

std::optional<Scope> Scope::from_parts(std::string_view type, std::string_view name, ScopeActions actions) {
  const std::string_view plain = plain_type(type);
  if (plain.empty() || name.empty() || name.size() > kNameSizeMax) return std::nullopt;
  if (!std::all_of(name.begin(), name.end(), is_name_byte)) return std::nullopt;
  return Scope(std::string(plain), std::string(name), actions);
}

std::optional<Scope> Scope::parse(std::string_view item) {
  const std::size_t first = item.find(':');
  const std::size_t last = item.rfind(':');
  if (first == std::string_view::npos || first == last) return std::nullopt;
  return from_parts(item.substr(0, first), item.substr(first + 1, last - first - 1),
                    ScopeActions::parse(item.substr(last + 1)));
}

Scope Scope::with(ScopeActions actions) const { return {type_, name_, actions}; }

std::optional<oci::RepositoryName> Scope::repository_name() const {
  if (type_ != kRepository) return std::nullopt;
  auto name = oci::RepositoryName::parse(name_);
  if (!name) return std::nullopt;
  return *std::move(name);
}

std::string Scope::text() const { return type_ + ':' + name_ + ':' + actions_.text(); }

Result<void> parse_scopes(std::string_view text, std::vector<Scope>& scopes) {
  while (!text.empty()) {
    const std::size_t blank = std::min(text.find(' '), text.size());
    auto scope = Scope::parse(text.substr(0, blank));
    text.remove_prefix(std::min(blank + 1, text.size()));
    if (!scope) continue;
    const auto same = std::find_if(scopes.begin(), scopes.end(), [&scope](const Scope& other) {
      return other.type() == scope->type() && other.name() == scope->name();
    });
    if (same != scopes.end()) {
      *same = same->with(same->actions() | scope->actions());
      continue;
    }
    if (scopes.size() == kScopesMax) return make_error(ErrorCode::request_invalid, "the request asks for too many scopes");
    scopes.push_back(*std::move(scope));
  }
  return {};
}

std::string scopes_text(std::span<const Scope> scopes) {
  std::string text;
  for (const Scope& scope : scopes) {
    if (scope.actions().empty()) continue;
    if (!text.empty()) text += ' ';
    text += scope.text();
  }
  return text;
}

}  // namespace berth::auth
