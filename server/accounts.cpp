#include "server/accounts.h"

#include <unistd.h>

#include <algorithm>
#include <latch>
#include <string>
#include <utility>

#include "auth/access_control.h"
#include "auth/token_service.h"
#include "registry/identities/identities.h"
#include "server/connection_metrics.h"

namespace berth::server {

namespace {

std::size_t password_threads(const auth::AuthOptions& options) {
  if (!options.enabled) return 1;  // the local socket makes accounts before they are switched on
  return std::max<std::size_t>(1, options.passwords.workers);
}

/// Many logins at once take all cores there are: whoever is served already comes first. The threads stay at this
/// priority, so nothing but passwords may be given to the pool.
void go_behind_others(Pool& pool, std::size_t threads) {
  constexpr int kNice = 10;
  const auto all = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(threads));
  for (std::size_t i = 0; i < threads; ++i) {
    pool.post([all] {
      (void)!::nice(kNice);    // of this thread alone, on Linux
      all->arrive_and_wait();  // so that no thread takes the job of another
    });
  }
}

}  // namespace

Accounts::Accounts(const auth::AuthOptions& options)
    : password_pool_("password", password_threads(options)), pool_watched_(watch_pool(password_pool_)) {
  go_behind_others(password_pool_, password_threads(options));
}

Accounts::~Accounts() { stop(); }

Result<std::unique_ptr<Accounts>> Accounts::open(const auth::AuthOptions& options, const Parts& parts,
                                                 std::shared_ptr<registry::IdentitySignal> signal) {
  std::unique_ptr<Accounts> accounts(new Accounts(options));
  registry::IdentitiesOptions identities;
  identities.pause = parts.pause;
  for (const auth::Role& role : options.roles) identities.configured_roles.push_back(role.name);
  BERTH_TRY(accounts->identities_, registry::open_identities({parts.committer, parts.disk_pool, parts.clock},
                                                             std::move(signal), std::move(identities)));
  BERTH_TRY(accounts->tokens_,
            auth::TokenService::create(options.token, options.public_url,
                                       {*accounts->identities_, parts.disk_pool, parts.clock, parts.entropy}));
  BERTH_TRY(accounts->access_, auth::AccessControl::create(
                                   options, {*accounts->identities_, *accounts->tokens_, accounts->http_, parts.disk_pool,
                                             accounts->password_pool_, parts.clock, parts.entropy}));
  accounts->tools_ = api::make_account_tools(*accounts->access_);
  return accounts;
}

void Accounts::configure(std::vector<auth::Role> roles, std::vector<auth::Grant> grants) {
  std::vector<std::string> names;
  for (const auth::Role& role : roles) names.push_back(role.name);
  identities_->set_configured_roles(std::move(names));
  access_->set_configured(std::move(roles), std::move(grants));
}

api::Backends Accounts::backends(registry::Registry& registry) {
  return {.registry = registry,
          .identities = identities_.get(),
          .access = access_.get(),
          .tokens = tokens_.get(),
          .accounts = tools_.get()};
}

void Accounts::stop() {
  if (access_) access_->stop();
  http_.stop();
  if (identities_) identities_->stop();
}

}  // namespace berth::server
