#include "server/ticket_keys.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>

namespace berth::server {

TicketKeys::~TicketKeys() {
  for (auto& key : keys_) OPENSSL_cleanse(&key, sizeof key);
}

/// With the mutex held. Leaves the key to seal with last.
bool TicketKeys::rotate(SteadyTime now) {
  std::erase_if(keys_, [&](Key& key) {
    const bool over = now - key.made >= kSealTime + kLifetime;
    if (over) OPENSSL_cleanse(&key, sizeof key);
    return over;
  });
  if (!keys_.empty() && now - keys_.back().made < kSealTime) return true;
  Key fresh;
  fresh.made = now;
  if (RAND_bytes(fresh.name.data(), static_cast<int>(fresh.name.size())) != 1 ||
      RAND_priv_bytes(fresh.cipher.data(), static_cast<int>(fresh.cipher.size())) != 1 ||
      RAND_priv_bytes(fresh.mac.data(), static_cast<int>(fresh.mac.size())) != 1) {
    return false;
  }
  keys_.push_back(fresh);
  return true;
}

std::optional<TicketKeys::Key> TicketKeys::sealing(SteadyTime now) {
  const std::lock_guard lock(mutex_);
  if (!rotate(now)) return std::nullopt;
  return keys_.back();
}

std::optional<TicketKeys::Opening> TicketKeys::opening(const unsigned char* name, SteadyTime now) {
  const std::lock_guard lock(mutex_);
  if (!rotate(now)) return std::nullopt;
  for (const auto& key : keys_) {
    if (std::equal(key.name.begin(), key.name.end(), name)) return Opening{key, &key != &keys_.back()};
  }
  return std::nullopt;
}

}  // namespace berth::server
