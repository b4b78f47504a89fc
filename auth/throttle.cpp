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

LoginThrottle::Attempt::~Attempt() {
  if (throttle_ == nullptr) return;
  News news;
  {
    const std::lock_guard lock(throttle_->mutex_);
    throttle_->leave(pair_);
    throttle_->serve_after(pair_, news);
  }
  tell(std::move(news));
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

/// How many may be checked at once: no more than may fail before the gate closes, and one in any case.
std::size_t LoginThrottle::room(Gate* gate, const Bucket& bucket, SteadyTime now) {
  if (gate != nullptr) refill(*gate, bucket, now);
  const double left = gate == nullptr ? bucket.free_failures : gate->free_left;
  return static_cast<std::size_t>(std::max(1.0, std::floor(left)));
}

void LoginThrottle::count_failure(Gate& gate, const Bucket& bucket, std::chrono::seconds longest_wait,
                                  SteadyTime now) const {
  refill(gate, bucket, now);
  if (gate.free_left >= 1) {
    gate.free_left -= 1;
    return;
  }
  gate.free_left = 0;
  constexpr unsigned kDoublingsMax = 16;
  const auto wait = options_.first_wait * (std::int64_t{1} << std::min(gate.failures_beyond, kDoublingsMax));
  ++gate.failures_beyond;
  gate.closed_until = std::max(gate.closed_until, now + std::min<std::chrono::seconds>(wait, longest_wait));
  gate.counted_at = gate.closed_until;  // waiting alone earns no free failure
}

LoginThrottle::Pair LoginThrottle::pair_of(std::string_view account, std::string_view address) const {
  const std::string group = address_group(address);
  return {.account = key_of('a', account, ""), .address = key_of('i', "", group), .both = key_of('p', account, group)};
}

std::size_t LoginThrottle::Lines::length(const Key& key) const {
  const auto found = by_key.find(key);
  return found == by_key.end() ? 0 : found->second.waiters.size();
}

void LoginThrottle::Lines::push(const Key& key, Waiter waiter) {
  const auto [found, is_new] = by_key.try_emplace(key);
  if (is_new) found->second.place = order.insert(order.end(), key);
  auto& waiters = found->second.waiters;
  by_length.erase({waiters.size(), key});
  waiters.push_back(std::move(waiter));
  by_length.emplace(waiters.size(), key);
  ++waiting;
}

void LoginThrottle::Lines::shortened(const Key& key, std::size_t before) {
  const auto found = by_key.find(key);
  const std::size_t now = found->second.waiters.size();
  waiting -= before - now;
  by_length.erase({before, key});
  if (now > 0) {
    by_length.emplace(now, key);
    return;
  }
  order.erase(found->second.place);
  by_key.erase(found);
}

std::size_t LoginThrottle::under_way(const Key& key) const {
  const auto found = under_way_.find(key);
  return found == under_way_.end() ? 0 : found->second;
}

LoginThrottle::Verdict LoginThrottle::judge(const Pair& pair, SteadyTime now) {
  Gate* const gate = (pair.known ? known_pairs_ : failing_pairs_).find(pair.both);
  Verdict verdict{.closed = closed_for(gate, now)};
  if (pair.known) {
    const std::size_t left = room(gate, options_.pair, now);
    const bool failed = gate != nullptr && gate->free_left < options_.pair.free_failures;
    verdict.has_room = under_way(pair.both) < (failed ? left : options_.known_at_once);
    return verdict;
  }
  Gate* const account = accounts_.find(pair.account);
  Gate* const address = addresses_.find(pair.address);
  verdict.closed = std::max(verdict.closed, closed_for(account, now));
  const auto address_closed = closed_for(address, now);
  verdict.closed_by_address = address_closed > verdict.closed;
  verdict.closed = std::max(verdict.closed, address_closed);
  verdict.has_room = strangers_under_way_ < options_.strangers_at_once &&
                     under_way(pair.both) < room(gate, options_.pair, now) &&
                     under_way(pair.account) < room(account, options_.account, now) &&
                     under_way(pair.address) < std::min(options_.address_at_once, room(address, options_.address, now));
  return verdict;
}

LoginThrottle::Attempt LoginThrottle::enter(const Pair& pair) {
  ++under_way_[pair.both];
  if (!pair.known) {
    ++under_way_[pair.account];
    ++under_way_[pair.address];
    ++strangers_under_way_;
  }
  return Attempt(*this, pair);
}

void LoginThrottle::leave(const Pair& pair) {
  const auto drop = [this](const Key& key) {
    const auto found = under_way_.find(key);
    if (--found->second == 0) under_way_.erase(found);
  };
  drop(pair.both);
  if (pair.known) return;
  drop(pair.account);
  drop(pair.address);
  --strangers_under_way_;
}

void LoginThrottle::admit(std::string_view account, std::string_view address, SteadyTime now,
                          std::shared_ptr<Turn> turn) {
  Pair pair = pair_of(account, address);
  News news;
  {
    const std::lock_guard lock(mutex_);
    latest_ = std::max(latest_, now);
    pair.known = known_pairs_.find(pair.both) != nullptr;
    const Verdict verdict = judge(pair, now);
    if (stopped_) {
      news.emplace_back(std::move(turn), make_error(ErrorCode::unavailable, "the server is stopping"));
    } else if (verdict.closed.count() > 0) {
      news.emplace_back(std::move(turn), Admission{.refused_by_address = verdict.closed_by_address});
    } else if (verdict.has_room && lines_of(pair).length(line_of(pair)) == 0) {
      news.emplace_back(std::move(turn), Admission{.attempt = enter(pair)});
    } else {
      wait_in_line(pair, now, std::move(turn), news);
    }
  }
  tell(std::move(news));
}

void LoginThrottle::wait_in_line(const Pair& pair, SteadyTime now, std::shared_ptr<Turn> turn, News& news) {
  Lines& lines = lines_of(pair);
  const Key& key = line_of(pair);
  if (lines.waiting >= options_.waiting_max) {
    const auto [longest, longest_key] = *lines.by_length.rbegin();
    if (lines.length(key) + 1 >= longest) {
      news.emplace_back(std::move(turn), Admission{.refused_by_address = true});
      return;
    }
    auto& waiters = lines.by_key.find(longest_key)->second.waiters;
    news.emplace_back(std::move(waiters.back().turn), Admission{.refused_by_address = true});
    waiters.pop_back();
    lines.shortened(longest_key, longest);
  }
  lines.push(key, {pair, now, std::move(turn)});
  serve(lines, key, news);
}

/// Lets in one of a line at most; was there one? Those whom a gate refuses leave it, and so do those whose client has
/// hardly waited for so long.
bool LoginThrottle::serve(Lines& lines, const Key& key, News& news) {
  // Somebody who cannot be tried yet (an account that is tried elsewhere) holds up few of those behind.
  constexpr std::size_t kPassedOverMax = 16;
  const auto found = lines.by_key.find(key);
  if (found == lines.by_key.end()) return false;
  auto& waiters = found->second.waiters;
  const std::size_t before = waiters.size();
  bool let_in = false;
  std::size_t passed_over = 0;
  for (auto waiter = waiters.begin(); waiter != waiters.end() && !let_in && passed_over < kPassedOverMax;) {
    const Verdict verdict = judge(waiter->pair, latest_);
    const bool late = latest_ - waiter->since > options_.waiting_time_max;
    if (waiter->turn->done()) {
      // Given up.
    } else if (verdict.closed.count() > 0 || late) {
      news.emplace_back(std::move(waiter->turn), Admission{.refused_by_address = late || verdict.closed_by_address});
    } else if (verdict.has_room) {
      news.emplace_back(std::move(waiter->turn), Admission{.attempt = enter(waiter->pair)});
      let_in = true;
    } else {
      ++waiter;
      ++passed_over;
      continue;
    }
    waiter = waiters.erase(waiter);
  }
  if (waiters.size() != before) lines.shortened(key, before);
  return let_in;
}

/// After the end of an attempt of `pair`. Whoever still waits then waits for the end of another one.
void LoginThrottle::serve_after(const Pair& pair, News& news) {
  while (serve(known_, pair.both, news)) {
  }
  auto& order = strangers_.order;
  for (std::size_t untried = order.size(); untried > 0 && strangers_under_way_ < options_.strangers_at_once;) {
    const Key key = order.front();
    order.splice(order.end(), order, order.begin());
    const bool let_in = serve(strangers_, key, news);
    untried = let_in ? order.size() : std::min(untried - 1, order.size());
  }
}

/// It is known now: those who wait as strangers with it wait no longer as such.
void LoginThrottle::recognise(const Pair& pair) {
  const auto found = strangers_.by_key.find(pair.address);
  if (found == strangers_.by_key.end()) return;
  auto& waiters = found->second.waiters;
  const std::size_t before = waiters.size();
  for (auto waiter = waiters.begin(); waiter != waiters.end();) {
    if (waiter->pair.both != pair.both) {
      ++waiter;
      continue;
    }
    waiter->pair.known = true;
    known_.push(pair.both, std::move(*waiter));
    waiter = waiters.erase(waiter);
  }
  if (waiters.size() != before) strangers_.shortened(pair.address, before);
}

void LoginThrottle::tell(News news) {
  for (auto& [turn, answer] : news) turn->complete(std::move(answer));
}

std::chrono::seconds LoginThrottle::wait(std::string_view account, std::string_view address, SteadyTime now) {
  Pair pair = pair_of(account, address);
  const std::lock_guard lock(mutex_);
  pair.known = known_pairs_.find(pair.both) != nullptr;
  return std::chrono::ceil<std::chrono::seconds>(judge(pair, now).closed);
}

void LoginThrottle::stop() {
  News news;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (Lines* lines : {&strangers_, &known_}) {
      for (auto& [key, line] : lines->by_key) {
        for (auto& waiter : line.waiters) {
          news.emplace_back(std::move(waiter.turn), make_error(ErrorCode::unavailable, "the server is stopping"));
        }
      }
      *lines = {};
    }
  }
  tell(std::move(news));
}

void LoginThrottle::Attempt::succeeded(SteadyTime now) {
  LoginThrottle* const throttle = std::exchange(throttle_, nullptr);
  if (throttle == nullptr) return;
  News news;
  {
    const std::lock_guard lock(throttle->mutex_);
    throttle->latest_ = std::max(throttle->latest_, now);
    throttle->leave(pair_);
    const Options& options = throttle->options_;
    throttle->failing_pairs_.erase(pair_.both);
    Gate& gate = throttle->known_pairs_.get(pair_.both, options.pair, now, options.gates_max);
    gate.free_left = options.pair.free_failures;
    gate.failures_beyond = 0;
    gate.closed_until = now;
    throttle->recognise(pair_);
    throttle->serve_after(pair_, news);
  }
  tell(std::move(news));
}

void LoginThrottle::Attempt::failed(SteadyTime now) {
  LoginThrottle* const throttle = std::exchange(throttle_, nullptr);
  if (throttle == nullptr) return;
  News news;
  {
    const std::lock_guard lock(throttle->mutex_);
    throttle->latest_ = std::max(throttle->latest_, now);
    throttle->leave(pair_);
    throttle->count_failure_of(pair_, now);
    throttle->serve_after(pair_, news);
  }
  tell(std::move(news));
}

void LoginThrottle::count_failure_of(const Pair& pair, SteadyTime now) {
  if (Gate* known = known_pairs_.find(pair.both)) {
    // Whoever shares its owner's address can close it again and again: never for long.
    count_failure(*known, options_.pair, std::min(options_.first_wait, options_.longest_wait), now);
    return;
  }
  Gate& gate = failing_pairs_.get(pair.both, options_.pair, now, options_.gates_max);
  count_failure(gate, options_.pair, options_.longest_wait, now);
  const auto is_due = [now](std::optional<SteadyTime>& counted_at, std::chrono::seconds every) {
    if (counted_at && now < *counted_at + every) return false;
    counted_at = now;
    return true;
  };
  if (is_due(gate.account_counted_at, options_.account_counts_pair_every)) {
    Gate& account = accounts_.get(pair.account, options_.account, now, options_.gates_max);
    count_failure(account, options_.account, options_.longest_wait, now);
  }
  if (is_due(gate.address_counted_at, options_.address_counts_pair_every)) {
    Gate& address = addresses_.get(pair.address, options_.address, now, options_.gates_max);
    count_failure(address, options_.address, options_.longest_wait, now);
  }
}

std::size_t LoginThrottle::size() const {
  const std::lock_guard lock(mutex_);
  return accounts_.order.size() + addresses_.order.size() + failing_pairs_.order.size() + known_pairs_.order.size();
}

std::size_t LoginThrottle::waiting() const {
  const std::lock_guard lock(mutex_);
  return strangers_.waiting + known_.waiting;
}

}  // namespace berth::auth
