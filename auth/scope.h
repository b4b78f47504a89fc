// Scopes of the token protocol: "repository:team/app:pull,push".
//
//   scope := item (" " item)*            item := type ":" name ":" action ("," action)*
//   type  := [a-z0-9]+ [ "(" [a-z0-9]+ ")" ]        the name may hold a ':' itself (host:port/…)
//
// Clients send more than berth knows: an item that does not follow the grammar and an action of another registry are
// passed over, never an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/name.h"

namespace berth::auth {

enum class ScopeAction : std::uint8_t {
  pull = 1,
  push = 2,
  delete_ = 4,
  all = 8,         ///< `*`: whatever is granted
  overwrite = 16,  ///< berth's own word: part of `push` when asked for, apart from it when granted
};

/// A set of them.
class ScopeActions {
 public:
  constexpr ScopeActions() = default;
  constexpr ScopeActions(std::initializer_list<ScopeAction> actions) {
    for (const ScopeAction action : actions) bits_ |= static_cast<std::uint8_t>(action);
  }
  /// Words joined by commas; unknown ones are passed over.
  static ScopeActions parse(std::string_view text);

  constexpr bool has(ScopeAction action) const { return (bits_ & static_cast<std::uint8_t>(action)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr ScopeActions operator|(ScopeActions other) const { return ScopeActions(bits_ | other.bits_); }
  constexpr ScopeActions operator&(ScopeActions other) const { return ScopeActions(bits_ & other.bits_); }
  /// What of `allowed` a request for these gets: what is in both, and everything for a `*`. Who asks to push asks to
  /// overwrite: clients have one word for both.
  constexpr ScopeActions granted_of(ScopeActions allowed) const {
    if (has(ScopeAction::all)) return allowed;
    const ScopeActions wanted = has(ScopeAction::push) ? *this | ScopeActions{ScopeAction::overwrite} : *this;
    return wanted & allowed;
  }
  constexpr bool operator==(const ScopeActions&) const = default;

  std::vector<std::string_view> words() const;  ///< in the order pull, push, overwrite, delete, *
  std::string text() const;                     ///< words joined by commas

 private:
  constexpr explicit ScopeActions(int bits) : bits_(static_cast<std::uint8_t>(bits)) {}
  std::uint8_t bits_ = 0;
};

/// One item. Its type and name hold only bytes that are safe in a header and in JSON, whoever wrote them.
class Scope {
 public:
  static constexpr std::size_t kNameSizeMax = 384;  ///< a repository name behind a host and a port

  static Scope repository(const oci::RepositoryName& name, ScopeActions actions);
  static Scope catalog();  ///< registry:catalog:*
  /// Empty for what does not follow the grammar. "repository(plugin)" becomes "repository".
  static std::optional<Scope> parse(std::string_view item);
  /// The same from parts, as an `access` claim has them.
  static std::optional<Scope> from_parts(std::string_view type, std::string_view name, ScopeActions actions);

  const std::string& type() const { return type_; }
  const std::string& name() const { return name_; }
  ScopeActions actions() const { return actions_; }
  Scope with(ScopeActions actions) const;
  /// The repository it is about; empty for other types and for names that no repository here can have.
  std::optional<oci::RepositoryName> repository_name() const;
  std::string text() const;  ///< "repository:team/app:pull,push"
  bool operator==(const Scope&) const = default;

 private:
  Scope(std::string type, std::string name, ScopeActions actions)
      : type_(std::move(type)), name_(std::move(name)), actions_(actions) {}
  std::string type_;
  std::string name_;
  ScopeActions actions_;
};

inline constexpr std::size_t kScopesMax = 256;

/// Adds the items of `text` (one or several, parted by blanks) to `scopes`; items of the same type and name become one.
/// Call it for each `scope` parameter. Errors: request_invalid when there are more than kScopesMax.
Result<void> parse_scopes(std::string_view text, std::vector<Scope>& scopes);

/// Items parted by blanks; those without an action are left out.
std::string scopes_text(std::span<const Scope> scopes);

}  // namespace berth::auth
