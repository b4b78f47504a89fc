#include "api/admin/secrets.h"

#include <cstring>

#include "api/account_tools.h"

namespace berth::api::admin {

Result<MadeSecret> make_credential(Context& context, auth::SecretKind kind, std::string name,
                                   std::optional<WallTime> expires_at, registry::Ceiling ceiling) {
  const auth::AuthOptions& options = context.accounts().options();
  const WallTime now = context.clock.wall();
  const bool limited = options.credential_lifetime_max.count() > 0;
  if (!expires_at) {
    const bool too_long = limited && options.credential_lifetime > options.credential_lifetime_max;
    expires_at = now + (too_long ? options.credential_lifetime_max : options.credential_lifetime);
  } else if (limited && (*expires_at == WallTime{} || *expires_at > now + options.credential_lifetime_max)) {
    return make_error(ErrorCode::request_invalid, "expires_at is later than the configuration allows: at most " +
                                                      std::to_string(options.credential_lifetime_max.count()) +
                                                      " seconds from now");
  }
  auth::Secret secret = auth::make_secret(kind, context.entropy);
  MadeSecret made;
  made.text = std::move(secret.text);
  std::memcpy(made.credential.hash.data(), secret.hash.data(), made.credential.hash.size());
  made.credential.name = std::move(name);
  made.credential.expires_at = *expires_at;
  made.credential.ceiling = std::move(ceiling);
  return made;
}

}  // namespace berth::api::admin
