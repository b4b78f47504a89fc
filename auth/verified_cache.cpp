#include "auth/verified_cache.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <utility>

#include "auth/openssl.h"

namespace berth::auth {

/// A context that has its key; each computation works on a copy.
struct VerifiedCache::Hmac {
  explicit Hmac(Entropy& entropy) {
    std::array<std::byte, 32> key{};
    entropy.fill(key);
    const Owned<EVP_MAC, EVP_MAC_free> method(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
    require_openssl(method != nullptr, "HMAC");
    keyed.reset(EVP_MAC_CTX_new(method.get()));
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    require_openssl(keyed != nullptr && EVP_MAC_init(keyed.get(), reinterpret_cast<const unsigned char*>(key.data()),
                                                     key.size(), params) == 1,
                    "HMAC");
    OPENSSL_cleanse(key.data(), key.size());
  }

  Mac of(std::string_view user, std::string_view password) const {
    const Owned<EVP_MAC_CTX, EVP_MAC_CTX_free> context(EVP_MAC_CTX_dup(keyed.get()));
    const auto add = [&context](std::string_view text) {
      return EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
    };
    Mac mac{};
    std::size_t size = 0;
    require_openssl(context != nullptr && add(user) && add(std::string_view("\0", 1)) && add(password) &&
                        EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(mac.data()), &size, mac.size()) == 1,
                    "HMAC");
    return mac;
  }

  Owned<EVP_MAC_CTX, EVP_MAC_CTX_free> keyed;
};

VerifiedCache::VerifiedCache(Entropy& entropy, const Options& options)
    : options_(options), hmac_(std::make_unique<const Hmac>(entropy)) {}
VerifiedCache::~VerifiedCache() = default;

void VerifiedCache::erase(Entries::iterator entry) {
  by_mac_.erase(entry->mac);
  entries_.erase(entry);
}

VerifiedCache::Lookup VerifiedCache::look_up(std::string_view user, std::string_view password, SteadyTime now) {
  Lookup lookup{.known = false, .until = {}, .mac = hmac_->of(user, password), .epoch = 0};
  const std::lock_guard lock(mutex_);
  lookup.epoch = epoch_;
  // The MAC cannot be chosen by a caller, so that how long the search takes tells nothing about others.
  const auto found = by_mac_.find(lookup.mac);
  if (found == by_mac_.end()) return lookup;
  if (now >= found->second->until) {
    erase(found->second);
    return lookup;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  lookup.known = true;
  lookup.until = found->second->until;
  return lookup;
}

void VerifiedCache::remember(const Lookup& lookup, std::string_view user, SteadyTime now) {
  const std::lock_guard lock(mutex_);
  if (lookup.epoch != epoch_ || options_.entries_max == 0) return;
  if (const auto found = by_mac_.find(lookup.mac); found != by_mac_.end()) erase(found->second);
  if (entries_.size() >= options_.entries_max) erase(std::prev(entries_.end()));
  entries_.push_front({lookup.mac, std::string(user), now + options_.lifetime});
  by_mac_.emplace(lookup.mac, entries_.begin());
}

void VerifiedCache::forget(std::string_view user) {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->user == user) erase(entry);
    entry = next;
  }
}

void VerifiedCache::forget_all() {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  by_mac_.clear();
  entries_.clear();
}

std::size_t VerifiedCache::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace berth::auth
