// What happens to identities by themselves: who came in is folded in, what expired goes. One thread with steady waits;
// every change is a command in bounded steps.
#include <pthread.h>

#include <algorithm>
#include <iterator>

#include "base/log.h"
#include "registry/identities/commands/fold_uses.h"
#include "registry/identities/commands/sweep.h"
#include "registry/identities/identities.h"
#include "registry/identities/queries.h"

namespace berth::registry {

namespace {

constexpr std::size_t kStepsMax = 4096;  ///< commands in one pass; the next pass goes on
constexpr std::size_t kStuckMax = 1024;

void report(std::string_view what, const Error& error) {
  // At a stop the committer may go first; what was not done is done after the next start.
  const auto level = error.code == ErrorCode::unavailable ? log::Level::debug : log::Level::error;
  log::event(level, what,
             {{"error", to_string(error.code)}, {"problem", error.message}, {"detail", error.log_detail}});
}

const Actor kSystem{kSystemActor, {}};

}  // namespace

void Identities::note_login(const std::string& user) {
  uses_.note({.kind = IdentityUse::Kind::login,
              .subject = user_subject(lower_case(user)),
              .when = parts_.clock.wall()});
}

void Identities::note_use(const Credential& credential) {
  uses_.note({.kind = IdentityUse::Kind::credential,
              .subject = credential.owner,
              .credential_kind = credential.kind,
              .credential = credential.id,
              .when = parts_.clock.wall()});
}

void Identities::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "identities");
    loop();
  });
}

void Identities::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(pass_mutex_);
  fold();
}

void Identities::run_now() {
  const std::lock_guard lock(pass_mutex_);
  fold();
  sweep();
}

void Identities::loop() {
  auto next_sweep = std::chrono::steady_clock::now() + options_.sweep_interval;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const auto tick = std::min(options_.fold_interval, options_.sweep_interval);
      if (wake_.wait_for(lock, tick, [this] { return stopping_; })) return;
    }
    const std::lock_guard lock(pass_mutex_);
    fold();
    if (std::chrono::steady_clock::now() < next_sweep) continue;
    sweep();
    kv::ViewSource::release_thread_cache();  // an idle thread must not pin an old state
    next_sweep = std::chrono::steady_clock::now() + options_.sweep_interval;
  }
}

void Identities::fold() {
  if (paused()) return;
  std::vector<IdentityUse> uses = uses_.take();
  for (std::size_t begin = 0; begin < uses.size(); begin += FoldUses::kEntriesMax) {
    const std::size_t end = std::min(uses.size(), begin + FoldUses::kEntriesMax);
    FoldUses command{.context = context(kSystem), .entries = {}};
    std::move(uses.begin() + static_cast<std::ptrdiff_t>(begin), uses.begin() + static_cast<std::ptrdiff_t>(end),
              std::back_inserter(command.entries));
    const auto outcome = parts_.committer.run(std::move(command));
    if (!outcome) return report("who came in when was lost", outcome.error());
  }
}

void Identities::sweep() {
  if (paused()) return;
  for (std::size_t step = 0; step < kStepsMax; ++step) {
    const auto view = parts_.committer.view();
    auto entries = identity_due_entries(view->reader(kv::Tier::any), uptime_.now(),
                                        SweepIdentities::kEntriesMax + stuck_.size());
    if (!entries) return report("what expired could not be read", entries.error());
    std::erase_if(*entries, [this](const IdentityDueKey& entry) { return stuck_.contains(entry); });
    if (entries->empty()) return;
    if (entries->size() > SweepIdentities::kEntriesMax) entries->resize(SweepIdentities::kEntriesMax);
    SweepIdentities command{
        .context = context(kSystem), .entries = *entries, .expired_keep = options_.expired_keep};
    const auto outcome = parts_.committer.run(std::move(command));
    if (outcome) continue;
    if (outcome.failed_with(ErrorCode::unavailable)) return report("the sweep has to wait", outcome.error());
    sweep_one_by_one(*entries);
  }
}

void Identities::sweep_one_by_one(const std::vector<IdentityDueKey>& entries) {
  for (const IdentityDueKey& entry : entries) {
    SweepIdentities command{
        .context = context(kSystem), .entries = {entry}, .expired_keep = options_.expired_keep};
    const auto outcome = parts_.committer.run(std::move(command));
    if (outcome) continue;
    if (outcome.failed_with(ErrorCode::unavailable)) return;
    report("something that expired could not be swept", outcome.error());
    if (stuck_.size() >= kStuckMax) stuck_.clear();  // tried again, and reported again
    stuck_.insert(entry);
  }
}

}  // namespace berth::registry
