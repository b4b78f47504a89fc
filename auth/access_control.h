// Who is asking? The one place where credentials become principals, and where the policy of now is had.
//
// What was shown is looked at in this order: the local socket, `Authorization: Bearer`, `Authorization: Basic` by the
// configured methods, the client certificate; who shows nothing is anonymous. Whatever is shown must be good: a bad
// credential is refused and never taken for none.
//
// Nobody's rights outlive what gave them: what was looked up, and who showed which credential a moment ago, is used again
// only while Identities::version() and the settings stand still, so who is disabled, deleted, or taken out of a group is
// so at the next request, whatever credential is shown. The slow check of a password is remembered for a minute, for the
// very hash that it was made with.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/caller.h"
#include "auth/logins.h"
#include "auth/policy.h"
#include "auth/principal.h"
#include "base/env.h"
#include "base/http_client.h"
#include "base/task.h"

namespace berth::registry {
class Identities;
}

namespace berth::auth {

struct AuthOptions;
class TokenService;

/// Of the local socket: administrator of everything, whatever the grants say. No grant can name it.
inline constexpr std::string_view kLocalRoot = "local:root";

/// Thread-safe. Errors of the Tasks: unauthorized (the message is for the client and the same whatever is wrong;
/// `log_detail` says what), too_many_requests (see retry_after()), unavailable; those of the identities.
class AccessControl final : public Logins {
 public:
  using Asking = std::shared_ptr<const Principal>;
  /// Who asks, and the policy of now.
  struct Recalled {
    Asking principal;  ///< as the policy, at most as long-lived as this AccessControl
    std::shared_ptr<const Policy> policy;
  };
  /// What a request shows, without copies.
  struct Glance {
    std::string_view authorization = {};  ///< the header's value
    bool one_authorization = false;       ///< there is exactly one such header
    bool nothing = false;                 ///< neither such a header nor a certificate
    std::string_view host = {};
    bool secure = false;
    bool local = false;
  };

  /// All outlive it.
  struct Parts {
    registry::Identities& identities;
    TokenService& tokens;
    HttpClient& http;     ///< asks outside issuers for their keys
    Pool& disk_pool;      ///< reads files
    Pool& password_pool;  ///< hashes passwords: nothing else shall wait for these
    const Clock& clock;
    Entropy& entropy;
  };
  /// Blocks: reads the htpasswd file. Errors: request_invalid, io_error, with a sentence for the operator.
  static Result<std::unique_ptr<AccessControl>> create(AuthOptions options, const Parts& parts);
  AccessControl(const AccessControl&) = delete;
  AccessControl& operator=(const AccessControl&) = delete;
  /// Stops.
  ~AccessControl() override;

  /// False: whoever reaches a listener may do everything there but manage accounts, and no credential is looked at.
  bool enabled() const;
  const AuthOptions& options() const;

  /// The answer of identify() and policy() in place, without waiting or counting a failure, when it is known from a moment
  /// ago and still true. Nothing: ask those.
  std::optional<Recalled> recall(const Glance& shown);
  Task<Asking> identify(Caller caller);
  /// The password may also be a robot's secret, a personal token or a JWT of an outside issuer, under any name.
  Task<Principal> identify_password(std::string user, std::string password, std::string peer,
                                    trace::Parent trace) override;
  Task<Principal> identify_jwt(std::string jwt, std::string peer, trace::Parent trace) override;
  Task<Principal> principal_of(std::shared_ptr<const VerifiedToken> token) override;
  /// Whoever a subject stands for, as if it had just come in with its own credential: for questions about others
  /// (access/explain). Somebody from outside has the groups that berth itself knows. A local one who may not come in
  /// counts as nobody, not even as anonymous, and so may do nothing.
  Task<Principal> principal_of_subject(std::string subject);

  /// How long whoever was refused with too_many_requests should wait.
  std::chrono::seconds retry_after(std::string_view user, std::string_view peer);
  std::chrono::seconds retry_after(const Caller& caller);

  /// The policy of now: configured roles and grants, and stored ones.
  Task<std::shared_ptr<const Policy>> policy() override;
  /// After the configuration was read again.
  void set_configured(std::vector<Role> roles, std::vector<Grant> grants);

  /// A new hash for a password that somebody chose. Errors: as PasswordChecker::hash().
  Task<std::string> hash_password(std::string password);

  /// Ends what waits for others, while the contexts of those who wait are still there. Idempotent.
  void stop();

 private:
  class Impl;
  explicit AccessControl(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace berth::auth
