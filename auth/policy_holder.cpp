#include "auth/policy_holder.h"

#include <utility>

#include "auth/access_control.h"
#include "auth/stored_access.h"
#include "registry/identities/identities.h"

namespace berth::auth {
namespace {

/// A right that nobody has to give and nobody can take away: who can read the data directory needs no permission.
Grant local_root() {
  return {.subjects = {std::string(kLocalRoot)},
          .repositories = {registry::RepositoryPattern::everything()},
          .role = "admin",
          .origin = "local socket"};
}

/// Whoever reaches a listener may use the registry. Accounts are for the local socket alone: one that somebody slipped
/// in now would be good once accounts are switched on.
std::shared_ptr<const Policy> open_policy() {
  std::vector<Grant> grants = {local_root(),
                               {.subjects = {std::string(kAnonymous)},
                                .repositories = {registry::RepositoryPattern::everything()},
                                .role = "maintainer",
                                .origin = "accounts are off"},
                               {.subjects = {std::string(kAnonymous)},
                                .repositories = {registry::RepositoryPattern::everything()},
                                .actions = {Action::metrics},
                                .origin = "accounts are off"}};
  return std::make_shared<const Policy>(std::move(grants));
}

/// The same policy, counted apart: threads that share one count pass its cache line around.
std::shared_ptr<const Policy> counted_apart(const std::shared_ptr<const Policy>& policy) {
  auto owner = std::make_shared<std::shared_ptr<const Policy>>(policy);
  return {owner, policy.get()};
}

}  // namespace

std::size_t thread_place(std::size_t places) {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine % places;
}

PolicyHolder::PolicyHolder(registry::Identities& identities, Pool& pool, bool enabled, std::vector<Role> roles,
                           std::vector<Grant> grants)
    : identities_(identities), pool_(pool), open_(enabled ? nullptr : open_policy()),
      shared_(std::make_shared<Shared>()) {
  set_configured(std::move(roles), std::move(grants));
}

void PolicyHolder::set_configured(std::vector<Role> roles, std::vector<Grant> grants) {
  for (Grant& grant : grants) {
    if (grant.origin.empty()) grant.origin = "config";
  }
  const std::lock_guard lock(shared_->mutex);
  const std::uint64_t generation = shared_->generation.load(std::memory_order_relaxed) + 1;
  shared_->configured = std::make_shared<const Configured>(Configured{std::move(roles), std::move(grants), generation});
  shared_->generation.store(generation, std::memory_order_release);
}

std::shared_ptr<const Policy> PolicyHolder::Shared::find(std::uint64_t version, std::uint64_t wanted) {
  const std::lock_guard lock(mutex);
  const bool good = policy && stored_version >= version && policy_generation >= wanted;
  return good ? policy : nullptr;
}

std::shared_ptr<const Policy> PolicyHolder::recall(std::uint64_t identities_version) {
  // Without a count: it stays for as long as this does.
  if (open_) return {std::shared_ptr<void>(), open_.get()};
  const std::uint64_t generation = shared_->generation.load(std::memory_order_acquire);
  Place& place = places_[thread_place(places_.size())];
  const std::lock_guard lock(place.mutex);
  const bool is_it = place.policy && place.version == identities_version && place.generation == generation;
  return is_it ? place.policy : nullptr;
}

Task<std::shared_ptr<const Policy>> PolicyHolder::current() {
  if (open_) co_return open_;
  // Both before the look: what is filed under them is not older than they are.
  const std::uint64_t version = identities_.version();
  const std::uint64_t generation = shared_->generation.load(std::memory_order_acquire);
  if (auto known = recall(version)) co_return known;
  BERTH_CO_TRY(auto stored, co_await identities_.snapshot());
  auto policy = shared_->find(stored->version, generation);
  if (!policy) {
    auto make = [shared = shared_, stored, generation] {
      const std::lock_guard making(shared->making);
      if (auto meanwhile = shared->find(stored->version, generation)) return meanwhile;
      std::shared_ptr<const Configured> configured;
      {
        const std::lock_guard lock(shared->mutex);
        configured = shared->configured;
      }
      std::vector<Role> roles = configured->roles;
      for (const registry::Role& role : stored->roles) roles.push_back(role_of(role));
      std::vector<Grant> grants = {local_root()};
      grants.insert(grants.end(), configured->grants.begin(), configured->grants.end());
      for (const registry::StoredGrant& grant : stored->grants) grants.push_back(grant_of(grant));
      auto made = std::make_shared<const Policy>(std::move(grants), roles);
      const std::lock_guard lock(shared->mutex);
      shared->policy = made;
      shared->stored_version = stored->version;
      shared->policy_generation = configured->generation;
      return made;
    };
    policy = co_await offload(pool_, std::move(make));
  }
  Place& place = places_[thread_place(places_.size())];
  const std::lock_guard lock(place.mutex);
  place.policy = counted_apart(policy);
  place.version = version;
  place.generation = generation;
  co_return place.policy;
}

}  // namespace berth::auth
