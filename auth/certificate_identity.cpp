#include "auth/certificate_identity.h"

#include <algorithm>

#include "auth/account_name.h"
#include "auth/claim_rules.h"
#include "registry/identities/rules.h"

namespace berth::auth {
namespace {

/// Splits RFC 2253 text at the separators that no backslash and no quotes protect.
std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && separators.find(text[i]) != separators.npos) {
      parts.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  parts.push_back(text.substr(begin));
  return parts;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string unescape(std::string_view value) {
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '\\' || i + 1 == value.size()) {
      out += value[i];
      continue;
    }
    const int high = hex_digit(value[i + 1]);
    const int low = i + 2 < value.size() ? hex_digit(value[i + 2]) : -1;
    if (high >= 0 && low >= 0) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += value[++i];
    }
  }
  return out;
}

bool san_matches(const std::string& pattern, const ClientCertificate& certificate) {
  const auto any = [&pattern](std::string_view kind, const std::vector<std::string>& names) {
    return std::ranges::any_of(names, [&](const std::string& name) { return glob_matches(pattern, std::string(kind) + name); });
  };
  return any("dns:", certificate.dns_names) || any("uri:", certificate.uris) || any("email:", certificate.emails);
}

/// `user:{cn}` with the common name in its place; empty when that makes no subject.
std::string make_subject(std::string identity, const std::string& cn) {
  constexpr std::string_view kPlaceholder = "{cn}";
  if (const std::size_t at = identity.find(kPlaceholder); at != std::string::npos) {
    if (cn.empty()) return {};
    identity.replace(at, kPlaceholder.size(), cn);
  }
  identity = registry::lower_case_subject(identity);
  const auto kind = registry::parse_subject(identity);
  using Kind = registry::SubjectKind;
  const bool somebody = kind && (*kind == Kind::user || *kind == Kind::robot || *kind == Kind::certificate);
  return somebody ? identity : std::string();
}

}  // namespace

bool subject_matches(std::string_view pattern, std::string_view subject) {
  const std::vector<std::string_view> wanted = split(pattern, ",");
  const std::vector<std::string_view> given = split(subject, ",");
  std::size_t w = 0, g = 0;
  std::size_t star = std::string_view::npos, tried = 0;  // the last lone `*`, and where what follows it was last tried
  while (g < given.size()) {
    if (w < wanted.size() && wanted[w] == "*") {
      star = w++;
      tried = g;
    } else if (w < wanted.size() && glob_matches(wanted[w], given[g])) {
      ++w, ++g;
    } else if (star != std::string_view::npos) {
      w = star + 1;
      g = ++tried;
    } else {
      return false;
    }
  }
  while (w < wanted.size() && wanted[w] == "*") ++w;
  return w == wanted.size();
}

std::string common_name(std::string_view subject) {
  std::string found;
  for (const std::string_view attribute : split(subject, ",+")) {
    if (!attribute.starts_with("CN=")) continue;
    if (!found.empty()) return {};
    found = unescape(attribute.substr(3));
  }
  return found;
}

std::optional<CertificateIdentity> identity_of(const std::vector<CertificateRule>& rules,
                                               const ClientCertificate& certificate) {
  for (const CertificateRule& rule : rules) {
    if (!rule.subject.empty() && !subject_matches(rule.subject, certificate.subject)) continue;
    if (!rule.san.empty() && !san_matches(rule.san, certificate)) continue;
    std::string subject = make_subject(rule.identity, common_name(certificate.subject));
    if (subject.empty()) continue;
    CertificateIdentity identity{std::move(subject), {}};
    for (const std::string& group : rule.groups) {
      if (const auto name = account_name(group)) identity.groups.push_back(registry::group_subject(*name));
    }
    return identity;
  }
  return std::nullopt;
}

}  // namespace berth::auth
