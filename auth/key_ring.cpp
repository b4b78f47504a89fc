#include "auth/key_ring.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace berth::auth {

KeyRing::KeyRing(std::vector<Key> keys, const Options& options) : keys_(std::move(keys)), options_(options) {
  std::sort(keys_.begin(), keys_.end(), [](const Key& left, const Key& right) {
    return std::tie(left.active_from, left.key.id()) < std::tie(right.active_from, right.key.id());
  });
}

WallTime KeyRing::over_from(std::size_t index) const {
  return index + 1 < keys_.size() ? keys_[index + 1].active_from + options_.retired_for : WallTime::max();
}

bool KeyRing::is_over(std::size_t index, WallTime now) const { return now >= over_from(index); }

WallTime KeyRing::known_until(std::string_view id) const {
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i].key.id() == id) return over_from(i);
  }
  return WallTime::min();
}

const SigningKey* KeyRing::signer(WallTime now) const {
  if (keys_.empty()) return nullptr;
  const auto next = std::find_if(keys_.begin(), keys_.end(), [now](const Key& key) { return key.active_from > now; });
  return next == keys_.begin() ? &keys_.front().key : &std::prev(next)->key;
}

const VerificationKey* KeyRing::find(std::string_view id, WallTime now) const {
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i].key.id() == id && !is_over(i, now)) return &keys_[i].key.public_key();
  }
  return nullptr;
}

std::string KeyRing::jwks(WallTime now) const {
  std::vector<VerificationKey> shown;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (!is_over(i, now)) shown.push_back(keys_[i].key.public_key());
  }
  return jwks_text(shown);
}

KeyRing::Plan KeyRing::plan(WallTime now) const {
  Plan plan;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (is_over(i, now)) plan.drop.push_back(keys_[i].key.id());
  }
  if (keys_.empty()) {
    plan.create = now;
    return plan;
  }
  const Key& last = keys_.back();
  if (last.active_from > now) return plan;  // there is a next one
  if (last.key.algorithm() != options_.algorithm) {
    plan.create = now + options_.lead;
  } else if (now + options_.lead >= last.active_from + options_.rotation) {
    // Never sooner than others can know it, also when nobody looked for a while.
    plan.create = std::max<WallTime>(last.active_from + options_.rotation, now + options_.lead);
  }
  return plan;
}

}  // namespace berth::auth
