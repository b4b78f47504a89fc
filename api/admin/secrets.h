// Secrets that management hands out: made, stored as their hash, and shown once.
#pragma once

#include <string>

#include "api/admin/fields.h"
#include "api/context.h"
#include "auth/secrets.h"
#include "registry/identities/values.h"

namespace berth::api::admin {

struct MadeSecret {
  std::string text;  ///< for the one answer that shows it
  registry::NewCredential credential;
};

/// Name, expiry and (of a personal token) scope as `fields` say; without an expiry the configured lifetime. The caller
/// asks fields.done() first. Errors: request_invalid (it would live longer than the configuration allows).
Result<MadeSecret> make_credential(Context& context, auth::SecretKind kind, std::string name,
                                   std::optional<WallTime> expires_at, registry::Ceiling ceiling);

}  // namespace berth::api::admin
