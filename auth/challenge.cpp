#include "auth/challenge.h"

#include <algorithm>
#include <utility>

namespace berth::auth {
namespace {

constexpr std::size_t kRealmSizeMax = 1024;
constexpr std::size_t kServiceSizeMax = 255;

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

/// Bytes of the URLs that a realm can be: no quote, no backslash, no comma, no blank, no '?', '#' or '@'.
bool is_realm_byte(char c) {
  constexpr std::string_view kOthers = ".-_~:/[]%";
  return is_alnum(c) || kOthers.find(c) != std::string_view::npos;
}
bool is_service_byte(char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':'; }

/// The conformance suites look for the last "basic" or "bearer" of the header and take it for the scheme.
bool names_a_scheme(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower.find("basic") != std::string::npos || lower.find("bearer") != std::string::npos;
}

Result<void> check_name(std::string_view text, std::string_view what) {
  const bool good = !text.empty() && text.size() <= kServiceSizeMax && !names_a_scheme(text) &&
                    std::all_of(text.begin(), text.end(), is_service_byte);
  if (good) return {};
  return make_error(ErrorCode::request_invalid,
                    std::string(what) + " is made of up to 255 letters, digits, '.', '-', '_' and ':', without the words "
                                        "basic and bearer");
}

std::string_view to_string(ChallengeError error) {
  switch (error) {
    case ChallengeError::none: return "";
    case ChallengeError::invalid_token: return "invalid_token";
    case ChallengeError::insufficient_scope: return "insufficient_scope";
  }
  return "";
}

void append(std::string& header, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  header += header.back() == '"' ? "," : "";
  header += name;
  header += "=\"";
  header += value;
  header += '"';
}

}  // namespace

Result<BearerChallenge> BearerChallenge::make(std::string_view realm, std::string_view service) {
  const auto refuse = [](const char* why) { return make_error(ErrorCode::request_invalid, why); };
  std::string_view rest = realm;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return refuse("the realm is an absolute URL that starts with https:// or http://");
  }
  if (realm.size() > kRealmSizeMax || !std::all_of(realm.begin(), realm.end(), is_realm_byte)) {
    return refuse("the realm is a plain URL: no user, no query, no fragment, no blanks or quotes");
  }
  const std::string_view host = rest.substr(0, rest.find('/'));
  if (host.empty() || host.front() == ':') return refuse("the realm names no host");
  if (names_a_scheme(realm)) return refuse("the realm must not hold the words basic and bearer: clients take them for the scheme");
  BERTH_CHECK(check_name(service, "the service"));
  return BearerChallenge(std::string(realm), std::string(service));
}

std::string BearerChallenge::header(std::span<const Scope> scopes, ChallengeError error) const {
  std::string header = "Bearer ";
  append(header, "realm", realm_);
  append(header, "service", service_);
  append(header, "scope", scopes_text(scopes));
  append(header, "error", to_string(error));
  return header;
}

Result<std::string> basic_challenge(std::string_view realm) {
  BERTH_CHECK(check_name(realm, "the realm"));
  return "Basic realm=\"" + std::string(realm) + '"';
}

}  // namespace berth::auth
