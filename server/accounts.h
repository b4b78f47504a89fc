// Who may come in, as objects: the identities, the token service and the access control over them, opened and stopped
// in the right order.
#pragma once

#include <memory>
#include <vector>

#include "api/account_tools.h"
#include "api/service.h"
#include "auth/options.h"
#include "base/env.h"
#include "base/http_client.h"
#include "base/metrics.h"
#include "base/task.h"
#include "registry/identities/signal.h"
#include "registry/pause.h"
#include "storage/kv/committer.h"

namespace berth::server {

class Accounts {
 public:
  /// All outlive it.
  struct Parts {
    kv::Committer& committer;
    Pool& disk_pool;
    const Clock& clock;
    Entropy& entropy;
    std::shared_ptr<const registry::Pause> pause = nullptr;  ///< as IdentitiesOptions::pause
  };
  /// Blocks. `signal` is told by the committer, which runs already. Errors: those of open_identities(); request_invalid
  /// and io_error with a sentence for the operator (a file that the settings name).
  static Result<std::unique_ptr<Accounts>> open(const auth::AuthOptions& options, const Parts& parts,
                                                std::shared_ptr<registry::IdentitySignal> signal);
  Accounts(const Accounts&) = delete;
  /// Stops.
  ~Accounts();

  api::Backends backends(registry::Registry& registry);
  auth::AccessControl& access() { return *access_; }
  registry::Identities& identities() { return *identities_; }

  /// After the settings were read again. Thread-safe.
  void configure(std::vector<auth::Role> roles, std::vector<auth::Grant> grants);

  /// After the server's threads are gone and before its contexts are. Folds in what was noted. Blocks. Idempotent.
  void stop();

 private:
  explicit Accounts(const auth::AuthOptions& options);

  HttpClient http_;
  Pool password_pool_;
  metrics::Source pool_watched_;
  std::unique_ptr<registry::Identities> identities_;
  std::unique_ptr<auth::TokenService> tokens_;
  std::unique_ptr<auth::AccessControl> access_;
  std::unique_ptr<api::AccountTools> tools_;
};

}  // namespace berth::server
