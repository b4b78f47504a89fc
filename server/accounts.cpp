#include "server/accounts.h"

#include <algorithm>
#include <string>
#include <utility>

#include "auth/access_control.h"
#include "auth/token_service.h"
#include "registry/identities/identities.h"

namespace berth::server {

Accounts::Accounts(const auth::AuthOptions& options)
    : password_pool_("password", std::max<std::size_t>(1, options.passwords.workers)) {}

Accounts::~Accounts() { stop(); }

Result<std::unique_ptr<Accounts>> Accounts::open(const auth::AuthOptions& options, const Parts& parts,
                                                 std::shared_ptr<registry::IdentitySignal> signal) {
  std::unique_ptr<Accounts> accounts(new Accounts(options));
  registry::IdentitiesOptions identities;
  for (const auth::Role& role : options.roles) identities.configured_roles.push_back(role.name);
  BERTH_TRY(accounts->identities_, registry::open_identities({parts.committer, parts.disk_pool, parts.clock},
                                                             std::move(signal), std::move(identities)));
  BERTH_TRY(accounts->tokens_,
            auth::TokenService::create(options.token, options.public_url,
                                       {*accounts->identities_, parts.disk_pool, parts.clock, parts.entropy}));
  BERTH_TRY(accounts->access_, auth::AccessControl::create(
                                   options, {*accounts->identities_, *accounts->tokens_, accounts->http_, parts.disk_pool,
                                             accounts->password_pool_, parts.clock, parts.entropy}));
  return accounts;
}

void Accounts::configure(std::vector<auth::Role> roles, std::vector<auth::Grant> grants) {
  std::vector<std::string> names;
  for (const auth::Role& role : roles) names.push_back(role.name);
  identities_->set_configured_roles(std::move(names));
  access_->set_configured(std::move(roles), std::move(grants));
}

api::Backends Accounts::backends(registry::Registry& registry) {
  return {.registry = registry, .identities = identities_.get(), .access = access_.get(), .tokens = tokens_.get()};
}

void Accounts::stop() {
  if (access_) access_->stop();
  http_.stop();
  if (identities_) identities_->stop();
}

}  // namespace berth::server
