#include "auth/throttle.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "oci/digest.h"

namespace berth::auth {

std::string address_group(std::string_view address) {
  const std::string text(address);
  in6_addr raw{};
  if (::inet_pton(AF_INET6, text.c_str(), &raw) != 1) return text;
  if (IN6_IS_ADDR_V4MAPPED(&raw)) {
    char v4[INET_ADDRSTRLEN];
    ::inet_ntop(AF_INET, raw.s6_addr + 12, v4, sizeof v4);
    return v4;
  }
  std::memset(raw.s6_addr + 8, 0, 8);
  char v6[INET6_ADDRSTRLEN];
  ::inet_ntop(AF_INET6, &raw, v6, sizeof v6);
  return std::string(v6) + "/64";
}

LoginThrottle::Attempt::Attempt(Attempt&& other) noexcept
    : throttle_(std::exchange(other.throttle_, nullptr)),
      account_(other.account_),
      address_(other.address_),
      pair_(other.pair_) {}

LoginThrottle::Attempt::~Attempt() {
  if (throttle_ == nullptr) return;
  const std::lock_guard lock(throttle_->mutex_);
  throttle_->end_trying(*this);
}

LoginThrottle::LoginThrottle(Entropy& entropy, const Options& options) : options_(options) { entropy.fill(salt_); }

LoginThrottle::Gate* LoginThrottle::Gates::find(const Key& key) {
  const auto found = by_key.find(key);
  return found == by_key.end() ? nullptr : &*found->second;
}

void LoginThrottle::Gates::erase(const Key& key) {
  const auto found = by_key.find(key);
  if (found == by_key.end()) return;
  order.erase(found->second);
  by_key.erase(found);
}

LoginThrottle::Gate& LoginThrottle::Gates::get(const Key& key, const Bucket& bucket, SteadyTime now, std::size_t most) {
  if (const auto found = by_key.find(key); found != by_key.end()) {
    order.splice(order.begin(), order, found->second);
    return order.front();
  }
  if (order.size() >= most) {
    by_key.erase(order.back().key);
    order.pop_back();
  }
  order.push_front({.key = key, .free_left = bucket.free_failures, .counted_at = now, .closed_until = now});
  by_key.emplace(key, order.begin());
  return order.front();
}

LoginThrottle::Key LoginThrottle::key_of(char kind, std::string_view account, std::string_view address) const {
  std::string text(as_text(salt_));
  text += kind;
  text += std::to_string(account.size());
  text += ':';
  text += account;
  text += address;
  const oci::Digest digest = oci::sha256(text);
  Key key{};
  std::copy_n(digest.raw().begin(), key.size(), key.begin());
  return key;
}

void LoginThrottle::refill(Gate& gate, const Bucket& bucket, SteadyTime now) {
  const std::chrono::duration<double> passed = now - gate.counted_at;
  if (passed.count() <= 0) return;
  const double refill_seconds = static_cast<double>(bucket.refill.count());
  gate.free_left = std::min(bucket.free_failures, gate.free_left + passed.count() / refill_seconds);
  gate.counted_at = now;
  // Back to the start when it is full again, so that one more failure is no longer dear.
  if (gate.free_left >= bucket.free_failures) gate.failures_beyond = 0;
}

std::chrono::nanoseconds LoginThrottle::closed_for(const Gate* gate, SteadyTime now) {
  return gate == nullptr || now >= gate->closed_until ? std::chrono::nanoseconds() : gate->closed_until - now;
}

std::chrono::nanoseconds LoginThrottle::wait_of_pair(Gate* gate, SteadyTime now) const {
  if (gate == nullptr) return {};
  const auto closed = closed_for(gate, now);
  if (closed.count() > 0) return closed;
  refill(*gate, options_.pair, now);
  // Without a failure any number may try at once: a fleet of machines may start with one account. After one, those
  // under way are taken for failures to come; one at a time is always let through.
  if (gate->free_left >= options_.pair.free_failures) return {};
  const double left = std::max(1.0, std::floor(gate->free_left));
  return gate->trying < left ? std::chrono::nanoseconds() : options_.first_wait;
}

void LoginThrottle::count_failure(Gate& gate, const Bucket& bucket, SteadyTime now) const {
  refill(gate, bucket, now);
  if (gate.free_left >= 1) {
    gate.free_left -= 1;
    return;
  }
  gate.free_left = 0;
  constexpr unsigned kDoublingsMax = 16;
  const auto wait = options_.first_wait * (std::int64_t{1} << std::min(gate.failures_beyond, kDoublingsMax));
  ++gate.failures_beyond;
  gate.closed_until = std::max(gate.closed_until, now + std::min<std::chrono::seconds>(wait, options_.longest_wait));
  gate.counted_at = gate.closed_until;  // waiting alone earns no free failure
}

LoginThrottle::Admission LoginThrottle::admit(std::string_view account, std::string_view address, SteadyTime now) {
  const std::string group = address_group(address);
  const Key account_key = key_of('a', account, "");
  const Key address_key = key_of('i', "", group);
  const Key pair_key = key_of('p', account, group);
  const std::lock_guard lock(mutex_);
  Gate* const known = known_pairs_.find(pair_key);
  Gate* const pair = known != nullptr ? known : failing_pairs_.find(pair_key);
  auto wait = wait_of_pair(pair, now);
  bool by_address = false;
  if (known == nullptr) {
    wait = std::max(wait, closed_for(accounts_.find(account_key), now));
    const auto address_wait = closed_for(addresses_.find(address_key), now);
    by_address = address_wait > wait;
    wait = std::max(wait, address_wait);
  }
  if (wait.count() > 0) {
    return {.attempt = std::nullopt,
            .retry_after = std::chrono::ceil<std::chrono::seconds>(wait),
            .refused_by_address = by_address};
  }
  if (pair != nullptr) ++pair->trying;
  return {.attempt = Attempt(*this, account_key, address_key, pair_key), .retry_after = {}};
}

/// An attempt may have begun before the pair had a gate, so a count may be a little off for a moment. That only moves
/// where parallel guesses are slowed.
void LoginThrottle::end_trying(const Attempt& attempt) {
  for (Gates* gates : {&known_pairs_, &failing_pairs_}) {
    Gate* const gate = gates->find(attempt.pair_);
    if (gate != nullptr && gate->trying > 0) --gate->trying;
  }
}

void LoginThrottle::Attempt::succeeded(SteadyTime now) {
  LoginThrottle* const throttle = std::exchange(throttle_, nullptr);
  if (throttle == nullptr) return;
  const std::lock_guard lock(throttle->mutex_);
  throttle->end_trying(*this);
  const Options& options = throttle->options_;
  throttle->failing_pairs_.erase(pair_);
  Gate& gate = throttle->known_pairs_.get(pair_, options.pair, now, options.gates_max);
  gate.free_left = options.pair.free_failures;
  gate.failures_beyond = 0;
  gate.closed_until = now;
}

void LoginThrottle::Attempt::failed(SteadyTime now) {
  LoginThrottle* const throttle = std::exchange(throttle_, nullptr);
  if (throttle == nullptr) return;
  const std::lock_guard lock(throttle->mutex_);
  throttle->end_trying(*this);
  const Options& options = throttle->options_;
  if (Gate* known = throttle->known_pairs_.find(pair_)) {
    throttle->count_failure(*known, options.pair, now);
    return;
  }
  Gate& pair = throttle->failing_pairs_.get(pair_, options.pair, now, options.gates_max);
  throttle->count_failure(pair, options.pair, now);
  const auto is_due = [now](std::optional<SteadyTime>& counted_at, std::chrono::seconds every) {
    if (counted_at && now < *counted_at + every) return false;
    counted_at = now;
    return true;
  };
  if (is_due(pair.account_counted_at, options.account_counts_pair_every)) {
    Gate& account = throttle->accounts_.get(account_, options.account, now, options.gates_max);
    throttle->count_failure(account, options.account, now);
  }
  if (is_due(pair.address_counted_at, options.address_counts_pair_every)) {
    Gate& address = throttle->addresses_.get(address_, options.address, now, options.gates_max);
    throttle->count_failure(address, options.address, now);
  }
}

std::size_t LoginThrottle::size() const {
  const std::lock_guard lock(mutex_);
  return accounts_.order.size() + addresses_.order.size() + failing_pairs_.order.size() + known_pairs_.order.size();
}

}  // namespace berth::auth
