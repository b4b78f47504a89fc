#include "auth/claim_rules.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "auth/account_name.h"
#include "base/json_text.h"

namespace berth::auth {
namespace {

using nlohmann::json;

Error refuse(std::string sentence) { return make_error(ErrorCode::request_invalid, std::move(sentence)); }

/// The steps of a JSON pointer; nothing when it is none.
std::optional<std::vector<std::string>> parse_pointer(std::string_view text) {
  std::vector<std::string> steps;
  for (const char c : text) {
    if (c == '/')
      steps.emplace_back();
    else if (!steps.empty())
      steps.back() += c;
  }
  for (auto& step : steps) {
    std::string plain;
    for (std::size_t i = 0; i < step.size(); ++i) {
      if (step[i] != '~') {
        plain += step[i];
      } else if (++i < step.size() && (step[i] == '0' || step[i] == '1')) {
        plain += step[i] == '0' ? '~' : '/';
      } else {
        return std::nullopt;
      }
    }
    step = std::move(plain);
  }
  return steps;
}

/// Null when the token has no such claim.
const json* find_claim(const json& claims, const std::string& name) {
  if (!name.starts_with('/')) {
    const auto found = claims.find(name);
    return found == claims.end() ? nullptr : &*found;
  }
  const auto steps = parse_pointer(name);
  if (!steps) return nullptr;
  const json* at = &claims;
  for (const auto& step : *steps) {
    if (!at->is_object()) return nullptr;
    const auto found = at->find(step);
    if (found == at->end()) return nullptr;
    at = &*found;
  }
  return at;
}

/// The text of a scalar; nothing for null, lists and objects.
std::optional<std::string> scalar_text(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  return std::nullopt;
}

bool one_matches(const std::vector<std::string>& patterns, const json& value) {
  const auto text = scalar_text(value);
  return text && std::any_of(patterns.begin(), patterns.end(),
                             [&text](const std::string& pattern) { return glob_matches(pattern, *text); });
}

bool claim_matches(const std::vector<std::string>& patterns, const json* value) {
  if (!value) return false;
  if (!value->is_array()) return one_matches(patterns, *value);
  return std::any_of(value->begin(), value->end(), [&patterns](const json& one) { return one_matches(patterns, one); });
}

/// A template in pieces: texts at even places, names of claims at odd ones. Nothing when a brace stands alone.
std::optional<std::vector<std::string>> parse_template(std::string_view text) {
  std::vector<std::string> pieces(1);
  for (const char c : text) {
    const bool inside = pieces.size() % 2 == 0;
    if (c == (inside ? '}' : '{')) {
      if (inside && pieces.back().empty()) return std::nullopt;
      pieces.emplace_back();
    } else if (c == '{' || c == '}') {
      return std::nullopt;
    } else {
      pieces.back() += c;
    }
  }
  if (pieces.size() % 2 == 0) return std::nullopt;
  return pieces;
}

std::optional<std::string> expand(std::string_view text, const json& claims) {
  const auto pieces = parse_template(text);
  if (!pieces) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < pieces->size(); ++i) {
    if (i % 2 == 0) {
      out += (*pieces)[i];
      continue;
    }
    const json* claim = find_claim(claims, (*pieces)[i]);
    const auto value = claim ? scalar_text(*claim) : std::nullopt;
    if (!value || value->empty()) return std::nullopt;
    out += *value;
  }
  return out;
}

bool is_clean(std::string_view text) {
  return !text.empty() && text.size() <= kSubjectBytesMax &&
         std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

std::string own_prefix(std::string_view issuer_name) { return fmt::format("federated:{}:", issuer_name); }

/// The subject that a rule gives, as grants write it; nothing when it is none.
std::optional<std::string> subject_of(const std::string& text, std::string_view issuer_name, const json& claims) {
  auto subject = expand(text, claims);
  if (!subject || !is_clean(*subject)) return std::nullopt;
  for (const std::string_view kind : {"user:", "robot:"}) {
    // The kind is the rule's, never a claim's: check_rule() has seen it in front of the first brace.
    if (!text.starts_with(kind)) continue;
    const auto name = account_name(std::string_view(*subject).substr(kind.size()));
    if (!name) return std::nullopt;
    return std::string(kind) + *name;
  }
  if (subject->size() == own_prefix(issuer_name).size()) return std::nullopt;
  return subject;
}

void add_groups(const std::string& text, const json& claims, std::vector<std::string>& groups) {
  const auto add = [&groups](const std::optional<std::string>& one) {
    const auto name = one ? account_name(*one) : std::nullopt;
    if (name) groups.push_back(*name);
  };
  const auto pieces = parse_template(text);
  const bool claim_alone = pieces && pieces->size() == 3 && (*pieces)[0].empty() && (*pieces)[2].empty();
  const json* claim = claim_alone ? find_claim(claims, (*pieces)[1]) : nullptr;
  if (!claim || !claim->is_array()) return add(expand(text, claims));
  for (const json& one : *claim) add(scalar_text(one));
}

template <class T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

Result<void> check_subject(const std::string& subject, std::string_view issuer_name) {
  if (subject.empty()) return {};
  const std::string own = own_prefix(issuer_name);
  for (const std::string_view kind : {std::string_view("user:"), std::string_view("robot:"), std::string_view(own)}) {
    if (!subject.starts_with(kind)) continue;
    const auto rest = std::string_view(subject).substr(kind.size());
    if (rest.empty()) return refuse(fmt::format("the subject {} names nobody", subject));
    const bool fixed_name = kind != own && rest.find('{') == std::string_view::npos;
    if (fixed_name && !account_name(rest)) return refuse(fmt::format("the subject {} holds no name", subject));
    return {};
  }
  return refuse(fmt::format("the subject {} is none of user:NAME, robot:NAME and {}TEXT", subject, own));
}

Result<void> check_claim(const std::string& name, const std::vector<std::string>& patterns) {
  if (name.empty() || (name.starts_with('/') && !parse_pointer(name)))
    return refuse(fmt::format("\"{}\" names no claim", name));
  if (patterns.empty()) return refuse(fmt::format("the claim {} has no pattern", name));
  if (patterns.size() > kRuleClaimsMax)
    return refuse(fmt::format("the claim {} has more than {} patterns", name, kRuleClaimsMax));
  for (const auto& pattern : patterns) {
    // An empty pattern would match what a broken issuer leaves empty, which nobody can have meant.
    if (pattern.empty()) return refuse(fmt::format("a pattern of the claim {} is empty", name));
    if (pattern.size() > kClaimPatternBytesMax)
      return refuse(fmt::format("a pattern of the claim {} has more than {} bytes", name, kClaimPatternBytesMax));
  }
  return {};
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;  // the last one seen, and where the text after it was last tried
  std::size_t tried = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      tried = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++tried;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<void> check_rule(const ClaimRule& rule, std::string_view issuer_name) {
  if (rule.claims.empty()) return refuse("a rule names no claim: it would let in whoever the issuer knows");
  if (rule.claims.size() > kRuleClaimsMax)
    return refuse(fmt::format("a rule names more than {} claims", kRuleClaimsMax));
  for (const auto& [name, patterns] : rule.claims) BERTH_CHECK(check_claim(name, patterns));
  BERTH_CHECK(check_subject(rule.subject, issuer_name));
  if (!parse_template(rule.subject))
    return refuse(fmt::format("the subject {} has a brace without its other", rule.subject));
  if (rule.groups.size() > kFederatedGroupsMax)
    return refuse(fmt::format("a rule names more than {} groups", kFederatedGroupsMax));
  for (const auto& group : rule.groups) {
    if (!parse_template(group)) return refuse(fmt::format("the group {} has a brace without its other", group));
    const bool fixed = group.find('{') == std::string::npos;
    if (group.empty() || (fixed && !account_name(group)))
      return refuse(fmt::format("\"{}\" is no name of a group", group));
  }
  if (rule.roles.size() > kRuleClaimsMax) return refuse(fmt::format("a rule names more than {} roles", kRuleClaimsMax));
  for (const auto& role : rule.roles) {
    if (account_name(role.role) != role.role) return refuse(fmt::format("\"{}\" is no name of a role", role.role));
    if (role.repositories.empty()) return refuse(fmt::format("the role {} names no repositories", role.role));
    if (role.repositories.size() > kRulesMax)
      return refuse(fmt::format("the role {} names more than {} patterns", role.role, kRulesMax));
  }
  return {};
}

Result<FederatedIdentity> apply_rules(const std::vector<ClaimRule>& rules, std::string_view issuer_name,
                                      const json& claims) {
  const json* sub = find_claim(claims, "sub");
  FederatedIdentity identity;
  identity.issuer = issuer_name;
  if (sub && sub->is_string()) identity.sub = sub->get_ref<const std::string&>();
  const std::string own_subject = own_prefix(issuer_name) + identity.sub;
  if (identity.sub.empty() || !is_clean(own_subject)) {
    return make_error(ErrorCode::unauthorized, "the token is not accepted",
                      "its claim sub is missing, too long or holds control characters");
  }
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const ClaimRule& rule = rules[i];
    const bool matches = std::all_of(rule.claims.begin(), rule.claims.end(), [&claims](const auto& wanted) {
      return claim_matches(wanted.second, find_claim(claims, wanted.first));
    });
    if (!matches) continue;
    if (!rule.subject.empty()) {
      auto subject = subject_of(rule.subject, issuer_name, claims);
      if (!subject) continue;
      if (identity.subject.empty()) identity.subject = *std::move(subject);
    }
    for (const auto& group : rule.groups) add_groups(group, claims, identity.groups);
    identity.roles.insert(identity.roles.end(), rule.roles.begin(), rule.roles.end());
    identity.rules.push_back(i);
  }
  if (identity.rules.empty()) {
    std::string shown;
    append_json_string(shown, identity.sub);
    return make_error(ErrorCode::unauthorized, "the token is not accepted",
                      fmt::format("no rule of {} matches the token of {}", issuer_name, shown));
  }
  if (identity.subject.empty()) identity.subject = own_subject;
  sort_unique(identity.groups);
  sort_unique(identity.roles);
  if (identity.groups.size() > kFederatedGroupsMax) {
    return make_error(
        ErrorCode::unauthorized, "the token is not accepted",
        fmt::format("its claims make {} groups, more than {}", identity.groups.size(), kFederatedGroupsMax));
  }
  return identity;
}

}  // namespace berth::auth
