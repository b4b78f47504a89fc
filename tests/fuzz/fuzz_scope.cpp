// Scopes and the challenges that are made of them.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "auth/challenge.h"
#include "auth/scope.h"
#include "tests/fuzz/property.h"

using namespace berth::auth;

namespace {

/// Is every byte between the quotes one that cannot end them?
bool is_safe(std::string_view header) {
  for (const char c : header) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e || c == '\\') return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const BearerChallenge challenge = BearerChallenge::make("https://h/token", "h").value();

  std::vector<Scope> scopes;
  const auto parsed = parse_scopes(text, scopes);
  require(scopes.size() <= kScopesMax, "the number of scopes is bounded");
  if (!parsed) require(scopes.size() == kScopesMax, "only too many are refused");

  std::vector<Scope> with_actions;
  for (const Scope& scope : scopes) {
    require(Scope::parse(scope.text()) == scope, "parse after print gives the scope back");
    const auto name = scope.repository_name();
    if (name) require(name->text() == scope.name(), "the repository is the name");
    if (!scope.actions().empty()) with_actions.push_back(scope);
  }
  std::vector<Scope> again;
  require(parse_scopes(scopes_text(scopes), again).has_value(), "what was printed is read");
  require(again == with_actions, "parse after print gives the scopes back");

  const std::string header = challenge.header(scopes, ChallengeError::insufficient_scope);
  require(is_safe(header), "a header holds nothing that ends it");
  std::size_t quotes = 0;
  for (const char c : header) quotes += c == '"' ? 1 : 0;
  require(quotes == (with_actions.empty() ? 6 : 8), "each parameter has its two quotes");

  // The realm and the service come from settings; what is accepted is as safe.
  const std::size_t middle = text.find('\n');
  const auto own = BearerChallenge::make(text.substr(0, middle), middle == std::string_view::npos ? "h" : text.substr(middle + 1));
  if (own) require(is_safe(own->header({})), "a header holds nothing that ends it");
  return 0;
}
