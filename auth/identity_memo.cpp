#include "auth/identity_memo.h"

#include <utility>

#include "auth/policy_holder.h"

namespace berth::auth {

IdentityMemo::IdentityMemo(Entropy& entropy) { entropy.fill(key_); }

std::optional<IdentityMemo::Known> IdentityMemo::find(const Shown& shown, const Moment& now) {
  if (shown.authorization.size() > kHeaderSizeMax) return std::nullopt;
  const SipDigest digest = siphash(key_, shown.authorization);
  Place& place = places_[thread_place(places_.size())];
  const std::lock_guard lock(place.mutex);
  if (place.slots.empty()) return std::nullopt;
  const Entry& entry = place.slots[digest.low % kSlots];
  const bool same = entry.known.principal != nullptr && entry.digest == digest && entry.secure == shown.secure &&
                    entry.host == shown.host;
  const bool stands = entry.identities == now.identities && entry.settings == now.settings;
  if (!same || !stands || !entry.validity.holds(now.wall, now.steady)) return std::nullopt;
  return entry.known;
}

void IdentityMemo::keep(const Shown& shown, const Moment& asked, Validity validity, Known known) {
  if (shown.authorization.size() > kHeaderSizeMax) return;
  validity.until(asked.steady + kKeptFor);
  if (!validity.holds(asked.wall, asked.steady)) return;
  const SipDigest digest = siphash(key_, shown.authorization);
  Entry entry{.digest = digest,
              .host = std::string(shown.host),
              .secure = shown.secure,
              .identities = asked.identities,
              .settings = asked.settings,
              .validity = validity,
              .known = std::move(known)};
  Place& place = places_[thread_place(places_.size())];
  const std::lock_guard lock(place.mutex);
  if (place.slots.empty()) place.slots.resize(kSlots);
  std::swap(place.slots[digest.low % kSlots], entry);  // the old one goes outside of the lock
}

}  // namespace berth::auth
