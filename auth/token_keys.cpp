#include "auth/token_keys.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "registry/actor.h"
#include "registry/identities/identities.h"

namespace berth::auth {
namespace {

constexpr std::chrono::seconds kRest{60};

Error not_yet() { return make_error(ErrorCode::unavailable, "tokens cannot be made yet; try again shortly"); }

registry::Actor berth_itself() { return {.id = registry::kSystemActor, .request_id = "token-keys", .name = "berth"}; }

void log_failure(const char* what, const Error& error) {
  if (error.code == ErrorCode::aborted) return;
  log::warning("the keys that sign tokens are not as they should be",
               {{"failed", what}, {"error", error.message}, {"detail", error.log_detail}});
}

}  // namespace

/// Ends with done(), or without it when its coroutine was given up.
class TokenKeys::Turn {
 public:
  explicit Turn(TokenKeys& keys) : keys_(&keys) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (keys_ != nullptr) keys_->end_turn(not_yet());
  }
  void done(Result<Ring> ring) { std::exchange(keys_, nullptr)->end_turn(std::move(ring)); }

 private:
  TokenKeys* keys_;
};

TokenKeys::TokenKeys(registry::Identities& identities, Pool& pool, const Clock& clock, const KeyRing::Options& options)
    : identities_(identities), pool_(pool), clock_(clock), options_(options) {}

// A next key is published for the lead and signs then, whether or not anybody looked at that time.
WallTime TokenKeys::active_from(const registry::TokenKey& key) const {
  return key.state == registry::SigningKeyState::next ? key.created_at + options_.lead : key.activated_at;
}

Task<TokenKeys::Shared> TokenKeys::load() {
  // Before the look-up: what is read is at least as new.
  const std::uint64_t version = identities_.version();
  Shared before = held();
  if (before && before->version == version) co_return before;
  BERTH_CO_TRY(const auto stored, co_await identities_.list_token_keys());

  auto fresh = std::make_shared<Held>();
  fresh->version = version;
  std::vector<KeyRing::Key> ring;
  for (const registry::TokenKey& key : stored) {
    const auto known = before ? before->keys.find(key.id) : fresh->keys.end();
    const bool is_known = before && known != before->keys.end();
    auto parsed = is_known ? Result<SigningKey>(known->second) : SigningKey::from_pkcs8(key.pkcs8);
    if (!parsed) {
      // A key of a newer berth, maybe. The others are good.
      log_failure("reading a key", parsed.error());
      continue;
    }
    fresh->keys.emplace(key.id, *parsed);
    ring.push_back({.key = *std::move(parsed), .active_from = active_from(key)});
    if (key.state == registry::SigningKeyState::next) fresh->next.push_back({active_from(key), key.id});
  }
  std::sort(fresh->next.begin(), fresh->next.end());
  fresh->ring = std::make_shared<const KeyRing>(std::move(ring), options_);
  Shared made = std::move(fresh);
  keep(made);
  co_return made;
}

TokenKeys::Shared TokenKeys::held() {
  const std::lock_guard lock(mutex_);
  return held_;
}

void TokenKeys::keep(const Shared& fresh) {
  const std::lock_guard lock(mutex_);
  if (!held_ || held_->version <= fresh->version) held_ = fresh;
}

Task<TokenKeys::Ring> TokenKeys::current() {
  BERTH_CO_TRY(const Shared now, co_await load());
  co_return now->ring;
}

Task<TokenKeys::Ring> TokenKeys::to_sign() {
  BERTH_CO_TRY(const Shared held, co_await load());
  const WallTime now = clock_.wall();
  const auto plan = held->ring->plan(now);
  const bool can_sign = held->ring->signer(now) != nullptr;
  const bool is_due = !held->next.empty() && held->next.front().active_from <= now;
  if (can_sign && !plan.create && plan.drop.empty() && !is_due) co_return held->ring;
  if (take_turn(can_sign)) {
    Turn turn(*this);
    auto ring = co_await work();
    turn.done(ring);
    co_return ring;
  }
  if (can_sign) co_return held->ring;
  auto start = [this](Waiting waiting) { wait(std::move(waiting)); };
  co_return co_await completion_of<Ring>(std::move(start));
}

bool TokenKeys::take_turn(bool can_sign) {
  const std::lock_guard lock(mutex_);
  if (working_ || (can_sign && clock_.steady() < rest_until_)) return false;
  working_ = true;
  return true;
}

void TokenKeys::wait(Waiting waiting) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [](const Waiting& one) { return one->done(); });
    if (working_ && waiting_.size() < kWaitingMax) {
      waiting_.push_back(std::move(waiting));
      return;
    }
  }
  // Whoever worked has ended a moment ago.
  const Shared now = held();
  const bool can_sign = now && now->ring->signer(clock_.wall()) != nullptr;
  waiting->complete(can_sign ? Result<Ring>(now->ring) : Result<Ring>(not_yet()));
}

void TokenKeys::end_turn(const Result<Ring>& ring) {
  ignore(ring);
  std::vector<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    working_ = false;
    waiting.swap(waiting_);
  }
  for (auto& one : waiting) one->complete(ring);
}

void TokenKeys::rest() {
  const std::lock_guard lock(mutex_);
  rest_until_ = clock_.steady() + kRest;
}

/// Everything that is due. When a part fails and there is a key that signs, that is good enough for now.
Task<TokenKeys::Ring> TokenKeys::work() {
  auto failed = co_await do_what_is_due();
  auto held = co_await load();
  if (!held) co_return std::move(held).error();
  if (failed) co_return (*held)->ring;
  log_failure("renewing them", failed.error());
  rest();
  if ((*held)->ring->signer(clock_.wall()) != nullptr) co_return (*held)->ring;
  co_return failed.error();
}

Task<void> TokenKeys::do_what_is_due() {
  BERTH_CO_TRY(const Shared held, co_await load());
  const WallTime now = clock_.wall();
  for (const NextKey& key : held->next) {
    if (key.active_from > now) break;
    BERTH_CO_CHECK(co_await identities_.activate_token_key(berth_itself(), key.id));
    log::info("another key signs tokens now", {{"key", key.id}});
  }
  const auto plan = held->ring->plan(now);
  for (const std::string& id : plan.drop) {
    BERTH_CO_CHECK(co_await identities_.remove_token_key(berth_itself(), id));
    log::info("a key that signed tokens has had its time", {{"key", id}});
  }
  if (!plan.create) co_return Result<void>();
  auto generate = [algorithm = options_.algorithm] { return SigningKey::generate(algorithm); };
  BERTH_CO_TRY(const SigningKey key, co_await offload(pool_, std::move(generate)));
  registry::NewTokenKey wanted{
      .id = key.id(), .algorithm = std::string(to_string(key.algorithm())), .pkcs8 = key.to_pkcs8()};
  BERTH_CO_CHECK(co_await identities_.add_token_key(berth_itself(), std::move(wanted)));
  log::info("a key for tokens was made", {{"key", key.id()}, {"algorithm", to_string(key.algorithm())}});
  co_return Result<void>();
}

}  // namespace berth::auth
