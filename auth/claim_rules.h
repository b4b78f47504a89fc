// From the claims of a token that was verified to who its bearer is: pure functions over the rules of an operator.
// Nothing is granted without a rule that matches.
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "registry/pattern.h"

namespace berth::auth {

/// A role, and where it holds.
struct FederatedRole {
  std::string role;
  std::vector<registry::RepositoryPattern> repositories;
  auto operator<=>(const FederatedRole&) const = default;
};

/// A claim is named by its own name (`sub`), or by a JSON pointer when it lies deeper (`/kubernetes.io/namespace`,
/// RFC 6901). In `subject` and `groups`, `{claim}` stands for the value of a claim that is one text, number or bool.
struct ClaimRule {
  /// All must match, each by one of its patterns, in which `*` is any text, also none. A claim that is a list matches
  /// when one of its elements does; numbers and bools are compared as JSON writes them.
  std::map<std::string, std::vector<std::string>> claims;
  /// `user:NAME`, `robot:NAME` or `federated:ISSUER:TEXT` with the issuer's own name; empty: `federated:ISSUER:<sub>`.
  /// A rule whose subject cannot be made of the token's claims does not match.
  std::string subject = {};
  /// Names, without "group:". One that is just `{claim}` stands for each element when the claim is a list. What cannot
  /// be made of the token's claims, or makes no name, is left out.
  std::vector<std::string> groups = {};
  std::vector<FederatedRole> roles = {};
};

inline constexpr std::size_t kRulesMax = 256;  ///< of an issuer
inline constexpr std::size_t kRuleClaimsMax = 32;
inline constexpr std::size_t kClaimPatternBytesMax = 1024;
inline constexpr std::size_t kFederatedGroupsMax = 200;
inline constexpr std::size_t kSubjectBytesMax = 512;

/// Who the bearer of a token is.
struct FederatedIdentity {
  std::string issuer;                ///< its configured name
  std::string subject;               ///< as in grants
  std::string sub;                   ///< the claim
  std::vector<std::string> groups;   ///< names, sorted, none twice
  std::vector<FederatedRole> roles;  ///< sorted, none twice
  WallTime expires;                  ///< when the token does
  std::vector<std::size_t> rules;    ///< that matched, by their place in the list
};

/// Is `text` what the pattern says? Takes time in proportion to both lengths multiplied, at worst.
bool glob_matches(std::string_view pattern, std::string_view text);

/// Errors: request_invalid, with a sentence for the operator.
Result<void> check_rule(const ClaimRule& rule, std::string_view issuer_name);

/// The rules were checked. The union of what all matching rules give; the subject is that of the first one that names
/// one. Errors: unauthorized (no rule matches; `sub` is missing, too long or holds control characters); `log_detail`
/// says what.
Result<FederatedIdentity> apply_rules(const std::vector<ClaimRule>& rules, std::string_view issuer_name,
                                      const nlohmann::json& claims);

}  // namespace berth::auth
