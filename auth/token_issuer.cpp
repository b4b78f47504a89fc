#include "auth/token_issuer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "auth/auth_metrics.h"
#include "oci/digest.h"

namespace berth::auth {
namespace {

using nlohmann::json;

constexpr ScopeActions kWireActions{ScopeAction::pull, ScopeAction::push, ScopeAction::delete_, ScopeAction::all};
constexpr std::chrono::seconds kLifetimeMin{60};
constexpr std::size_t kGroupsMax = 256;
constexpr std::size_t kRolesMax = 1024;
constexpr std::string_view kOutsideSubject = "federated:outside:";
/// Larger ones are rare, and would make the memory of the kept ones large.
constexpr std::size_t kKeptSizeMax = 4096;

Error malformed(const char* reason, const char* sentence) { return make_error(ErrorCode::unauthorized, sentence, reason); }

std::int64_t seconds_of(WallTime time) { return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count(); }

json json_of(const std::vector<FederatedRole>& roles) {
  json list = json::array();
  for (const FederatedRole& role : roles) {
    json repositories = json::array();
    for (const auto& pattern : role.repositories) repositories.push_back(pattern.text());
    list.push_back({{"role", role.role}, {"repositories", std::move(repositories)}});
  }
  return list;
}

// Claims of berth's own; what is missing is empty.

Result<std::string> text_of(const json& claims, const char* name) {
  const auto member = claims.find(name);
  if (member == claims.end()) return std::string();
  if (!member->is_string()) return malformed("claim_malformed", "one of the token's claims is no text");
  return member->get<std::string>();
}

Result<std::vector<std::string>> texts_of(const json& claims, const char* name) {
  std::vector<std::string> texts;
  const auto member = claims.find(name);
  if (member == claims.end()) return texts;
  const auto bad = [] { return malformed("claim_malformed", "one of the token's claims is no list of texts"); };
  if (!member->is_array() || member->size() > kGroupsMax) return bad();
  for (const json& element : *member) {
    if (!element.is_string()) return bad();
    texts.push_back(element.get<std::string>());
  }
  return texts;
}

Result<std::vector<FederatedRole>> roles_of(const json& claims) {
  std::vector<FederatedRole> roles;
  const auto member = claims.find("roles");
  if (member == claims.end()) return roles;
  const auto bad = [] { return malformed("claim_malformed", "the token's roles are no list of roles and repositories"); };
  if (!member->is_array() || member->size() > kRolesMax) return bad();
  for (const json& element : *member) {
    if (!element.is_object()) return bad();
    FederatedRole role;
    BERTH_TRY(role.role, text_of(element, "role"));
    BERTH_TRY(const auto patterns, texts_of(element, "repositories"));
    for (const std::string& text : patterns) {
      auto pattern = registry::RepositoryPattern::parse(text);
      if (!pattern) return ignore(pattern), bad();
      role.repositories.push_back(*std::move(pattern));
    }
    roles.push_back(std::move(role));
  }
  return roles;
}

}  // namespace

Result<IssuedToken> issue_token(const TokenOptions& options, const KeyRing& keys, const TokenRequest& request,
                                const GrantedActions& granted, WallTime now, Entropy& entropy) {
  const SigningKey* key = keys.signer(now);
  if (key == nullptr) return make_error(ErrorCode::unavailable, "tokens cannot be made yet; try again shortly");
  std::chrono::seconds lifetime = std::max(options.lifetime, kLifetimeMin);
  const std::int64_t issued = seconds_of(now);
  // At least a second: what it was had with may have run out by this clock and be good by its issuer's.
  if (request.until < now + lifetime) {
    lifetime = std::chrono::seconds(std::max<std::int64_t>(1, seconds_of(request.until) - issued));
  }

  json access = json::array();
  std::vector<Scope> granted_scopes;
  for (const Scope& wanted : request.scopes) {
    Scope scope = wanted.with(wanted.actions().granted_of(granted(wanted)));
    access.push_back({{"type", scope.type()}, {"name", scope.name()}, {"actions", scope.actions().words()}});
    // Clients are answered in the words they know.
    granted_scopes.push_back(scope.with(scope.actions() & kWireActions));
  }
  IssuedToken made{.token = {},
                   .id = make_uuid(entropy),
                   .issued_at = WallTime(std::chrono::seconds(issued)),
                   .expires_in = lifetime,
                   .scope = scopes_text(granted_scopes)};
  json claims = {{"iss", options.issuer},
                 {"sub", request.subject == kAnonymous ? "" : request.subject},
                 {"aud", request.audience},
                 {"exp", issued + lifetime.count()},
                 {"nbf", issued},
                 {"iat", issued},
                 {"jti", made.id},
                 {"access", std::move(access)}};
  const Testimony& testimony = request.testimony;
  if (!request.method.empty()) claims["method"] = request.method;
  if (!testimony.groups.empty()) claims["groups"] = testimony.groups;
  if (!testimony.roles.empty()) claims["roles"] = json_of(testimony.roles);
  if (!testimony.credential.empty()) claims["credential"] = testimony.credential;
  // Subjects from outside may hold bytes that are no text; they must not end the process.
  BERTH_TRY(made.token, key->sign_jwt(claims.dump(-1, ' ', false, json::error_handler_t::replace)));
  if (made.token.size() > kTokenSizeMax || testimony.groups.size() > kGroupsMax || testimony.roles.size() > kRolesMax) {
    return make_error(ErrorCode::request_invalid, "the request asks for more than fits into one token");
  }
  return made;
}

Result<std::vector<Scope>> access_of(const Claims& claims) {
  std::vector<Scope> scopes;
  const auto access = claims.all->find("access");
  if (access == claims.all->end() || access->is_null()) return scopes;
  const auto bad = [] { return malformed("access_malformed", "the token's access is no list of resources and actions"); };
  if (!access->is_array() || access->size() > kScopesMax) return bad();
  for (const json& entry : *access) {
    if (!entry.is_object()) return bad();
    const auto type = entry.find("type");
    const auto name = entry.find("name");
    const auto actions = entry.find("actions");
    if (type == entry.end() || !type->is_string() || name == entry.end() || !name->is_string()) return bad();
    ScopeActions granted;
    if (actions != entry.end() && !actions->is_null()) {
      if (!actions->is_array()) return bad();
      for (const json& action : *actions) {
        if (!action.is_string()) return bad();
        granted = granted | ScopeActions::parse(action.get_ref<const std::string&>());
      }
    }
    auto scope = Scope::from_parts(type->get_ref<const std::string&>(), name->get_ref<const std::string&>(), granted);
    if (scope) scopes.push_back(*std::move(scope));
  }
  return scopes;
}

TokenVerifier::TokenVerifier(Options options) : options_(std::move(options)) {}

bool TokenVerifier::still_good(const VerifiedToken& token, std::string_view audience, const KeyLookup& find_key,
                               WallTime now) const {
  const Claims& claims = token.claims;
  const auto times = check_times(claims, now, options_.leeway);
  if (!times) return ignore(times), false;
  if (std::find(claims.audiences.begin(), claims.audiences.end(), audience) == claims.audiences.end()) return false;
  // Keys that a chain of certificates proved are in no set; the roots do not change.
  return options_.roots != nullptr || find_key(claims.key_id) != nullptr;
}

Result<std::shared_ptr<const VerifiedToken>> TokenVerifier::verify(std::string_view token, std::string_view audience,
                                                                   const KeyLookup& find_key, WallTime now) {
  if (token.size() > kKeptSizeMax) return read(token, audience, find_key, now);
  Hash hash{};
  const oci::Digest digest = oci::sha256(token);
  std::copy_n(digest.raw().begin(), hash.size(), hash.begin());
  auto kept = find(hash);
  const bool good = kept && still_good(*kept, audience, find_key, now);
  count_look_up(AuthCache::token, good);
  if (good) return kept;
  if (kept) {
    forget(hash);  // the long way says why
  }
  BERTH_TRY(auto fresh, read(token, audience, find_key, now));
  keep(hash, fresh);
  return fresh;
}

Result<std::shared_ptr<const VerifiedToken>> TokenVerifier::read(std::string_view token, std::string_view audience,
                                                                 const KeyLookup& find_key, WallTime now) const {
  VerifyOptions options;
  options.issuers = {options_.issuer};
  options.audiences = {std::string(audience)};
  options.now = now;
  options.leeway = options_.leeway;
  options.size_max = kTokenSizeMax;
  options.roots = options_.roots.get();
  auto verified = std::make_shared<VerifiedToken>();
  BERTH_TRY(verified->claims, verify_jwt(token, find_key, options));
  const json& claims = *verified->claims.all;
  const std::string& subject = verified->claims.subject;
  verified->source = options_.source;
  BERTH_TRY(verified->access, access_of(verified->claims));
  if (options_.source == TokenSource::own) {
    BERTH_TRY(verified->method, text_of(claims, "method"));
    BERTH_TRY(verified->testimony.groups, texts_of(claims, "groups"));
    BERTH_TRY(verified->testimony.roles, roles_of(claims));
    BERTH_TRY(verified->testimony.credential, text_of(claims, "credential"));
    verified->subject = subject.empty() ? std::string(kAnonymous) : subject;
  } else {
    // Whatever else it claims is about somebody of the outside server's, not of berth's.
    verified->subject = subject.empty() ? std::string(kAnonymous) : std::string(kOutsideSubject) + subject;
    verified->method = "outside";
  }
  verified->claims.all.reset();
  return std::shared_ptr<const VerifiedToken>(std::move(verified));
}

std::shared_ptr<const VerifiedToken> TokenVerifier::find(const Hash& hash) {
  Shard& shard = shard_of(hash);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_hash.find(hash);
  if (found == shard.by_hash.end()) return nullptr;
  shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
  return found->second->token;
}

void TokenVerifier::keep(const Hash& hash, std::shared_ptr<const VerifiedToken> token) {
  const std::size_t most = options_.kept_max / kShards;
  if (most == 0) return;
  Shard& shard = shard_of(hash);
  const std::lock_guard lock(shard.mutex);
  if (shard.by_hash.contains(hash)) return;  // another thread was sooner
  if (shard.entries.size() >= most) {
    shard.by_hash.erase(shard.entries.back().hash);
    shard.entries.pop_back();
  }
  shard.entries.push_front({hash, std::move(token)});
  shard.by_hash.emplace(hash, shard.entries.begin());
}

void TokenVerifier::forget(const Hash& hash) {
  Shard& shard = shard_of(hash);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_hash.find(hash);
  if (found == shard.by_hash.end()) return;
  shard.entries.erase(found->second);
  shard.by_hash.erase(found);
}

std::size_t TokenVerifier::kept() const {
  std::size_t count = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    count += shard.entries.size();
  }
  return count;
}

}  // namespace berth::auth
