#include "auth/subjects.h"

#include <charconv>
#include <utility>

#include "auth/auth_metrics.h"
#include "auth/policy_holder.h"
#include "auth/stored_access.h"
#include "registry/identities/identities.h"

namespace berth::auth {
namespace {

constexpr std::string_view kUser = "user:";
constexpr std::string_view kRobot = "robot:";

std::vector<std::string> group_subjects(const std::vector<std::string>& names) {
  std::vector<std::string> subjects;
  subjects.reserve(names.size());
  for (const std::string& name : names) subjects.push_back(registry::group_subject(name));
  return subjects;
}

Subjects::Known known_user(registry::LoginUser login) {
  KnownSubject known{.local = true, .enabled = login.user.enabled};
  known.created_at = login.user.created_at;
  known.actor = login.user.actor;
  known.groups = group_subjects(login.user.groups);
  known.password_hash = std::move(login.password_hash);
  return std::make_shared<const KnownSubject>(std::move(known));
}

registry::Actor nobody() { return {.id = registry::kSystemActor, .request_id = {}, .name = {}}; }

}  // namespace

std::string credential_text(bool robot, std::uint64_t id) { return (robot ? "r" : "p") + std::to_string(id); }

std::optional<Subjects::Known> Subjects::find(const std::string& key, std::uint64_t version) {
  auto known = find_kept(key, version);
  count_look_up(AuthCache::authz, known.has_value());
  return known;
}

std::optional<Subjects::Known> Subjects::find_kept(const std::string& key, std::uint64_t version) {
  Place& place = places_[thread_place(places_.size())];
  const std::lock_guard lock(place.mutex);
  const auto found = place.by_key.find(key);
  if (found == place.by_key.end()) return std::nullopt;
  if (found->second->version != version) {
    const auto entry = found->second;
    place.by_key.erase(found);
    place.kept.erase(entry);
    return std::nullopt;
  }
  place.kept.splice(place.kept.begin(), place.kept, found->second);
  return found->second->known;
}

void Subjects::keep(std::string key, std::uint64_t version, Known known) {
  Place& place = places_[thread_place(places_.size())];
  const std::lock_guard lock(place.mutex);
  if (const auto found = place.by_key.find(key); found != place.by_key.end()) {
    found->second->version = version;
    found->second->known = std::move(known);
    return;
  }
  place.kept.push_front({std::move(key), version, std::move(known)});
  place.by_key.emplace(place.kept.front().key, place.kept.begin());
  if (place.kept.size() <= kKeptMax) return;
  place.by_key.erase(place.kept.back().key);
  place.kept.pop_back();
}

Task<Subjects::Known> Subjects::find_user(std::string name) {
  std::string subject = registry::user_subject(name);
  const std::uint64_t version = identities_.version();
  if (auto kept = find(subject, version); kept && (*kept)->local) co_return *kept;
  BERTH_CO_TRY(auto login, co_await identities_.find_login(std::move(name)));
  if (!login) co_return Known();
  Known known = known_user(*std::move(login));
  keep(std::move(subject), version, known);
  co_return known;
}

Task<Subjects::Known> Subjects::admitted(std::string subject) { return look_up(std::move(subject), true); }
Task<Subjects::Known> Subjects::look_at(std::string subject) { return look_up(std::move(subject), false); }

Task<Subjects::Known> Subjects::look_up(std::string subject, bool give_number) {
  const std::uint64_t version = identities_.version();
  if (auto kept = find(subject, version)) co_return *std::move(kept);

  Known known;
  if (subject.starts_with(kUser)) {
    BERTH_CO_TRY(auto login, co_await identities_.find_login(subject.substr(kUser.size())));
    if (login) known = known_user(*std::move(login));
  } else if (subject.starts_with(kRobot)) {
    BERTH_CO_TRY(const auto robot, co_await identities_.find_robot(subject.substr(kRobot.size())));
    if (robot) {
      BERTH_CO_TRY(const auto groups, co_await identities_.groups_listing(subject));
      known = std::make_shared<const KnownSubject>(KnownSubject{.local = true,
                                                                .enabled = robot->enabled,
                                                                .expires_at = robot->expires_at,
                                                                .created_at = robot->created_at,
                                                                .actor = robot->actor,
                                                                .groups = group_subjects(groups),
                                                                .password_hash = {},
                                                                .ceiling = ceiling_of(robot->ceiling)});
    }
  }
  if (!known) {
    KnownSubject outside;
    BERTH_CO_TRY(const auto groups, co_await identities_.groups_listing(subject));
    outside.groups = group_subjects(groups);
    if (give_number) {
      const registry::Actor actor = nobody();
      BERTH_CO_TRY(outside.actor, co_await identities_.actor_of(actor, subject));
    }
    known = std::make_shared<const KnownSubject>(std::move(outside));
    if (!give_number) co_return known;
  }
  keep(std::move(subject), version, known);
  co_return known;
}

Task<Subjects::Known> Subjects::find_credential(std::string owner, std::string id) {
  std::uint64_t number = 0;
  const char* const end = id.data() + id.size();
  const bool robot = id.starts_with('r');
  if (!robot && !id.starts_with('p')) co_return Known();
  const auto parsed = std::from_chars(id.data() + 1, end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number == 0) co_return Known();

  const std::uint64_t version = identities_.version();
  const std::string key = "credential:" + id + ' ' + owner;
  if (auto kept = find(key, version)) co_return *std::move(kept);
  const auto kind = robot ? registry::CredentialKind::robot_secret : registry::CredentialKind::personal_token;
  BERTH_CO_TRY(const auto page, co_await identities_.list_credentials(kind, owner, 1, number - 1));
  if (page.items.empty() || page.items.front().id != number) co_return Known();
  const registry::Credential& credential = page.items.front();
  Known known = std::make_shared<const KnownSubject>(
      KnownSubject{.enabled = true, .expires_at = credential.expires_at, .ceiling = ceiling_of(credential.ceiling)});
  keep(key, version, known);
  co_return known;
}

}  // namespace berth::auth
