// What a handler sees of one request: text already turned into types, and the registry.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"
#include "api/metrics_page.h"
#include "api/query.h"
#include "api/service.h"
#include "auth/policy.h"
#include "auth/principal.h"
#include "base/env.h"
#include "base/memory_budget.h"
#include "oci/name.h"
#include "registry/actor.h"
#include "registry/registry.h"

namespace berth::api {

/// What the path names, parsed once by the router. A route's template says which members are set.
struct Target {
  std::optional<oci::RepositoryName> repository;  ///< {name}
  std::optional<oci::Digest> digest;              ///< {digest}
  std::optional<oci::Reference> reference;        ///< {reference}
  std::string subject;                            ///< {subject}: a digest of any algorithm, as text
  std::string upload_id;                          ///< {upload}
  std::vector<std::string> parts;                 ///< the text of each parameter but {name}, from the left
};

/// What each form may hold without asking the budget of all: nearly all forms. However many others stall with large
/// ones, a log-in and a change of an account get through.
inline constexpr std::size_t kFormBytesFree = 8 << 10;

/// Takes what `more` bytes cost a form that has `before`. False: others hold all there is.
inline bool take_for_form(MemoryBudget::Share& memory, std::size_t before, std::size_t more) {
  const std::size_t after = before + more;
  return after <= kFormBytesFree || memory.take(std::min(more, after - kFormBytesFree));
}

/// Lives in the pipeline's frame for as long as the request does.
struct Context {
  Request& request;
  const ServiceOptions& options;
  const Lifecycle& lifecycle;
  const Clock& clock;
  Entropy& entropy;
  const auth::Policy& policy;  ///< of now: stays the same for the whole request
  MemoryBudget& manifest_memory;  ///< of all manifests on their way in
  MemoryBudget& form_memory;      ///< of all forms
  MetricsPage& metrics_page;
  const Backends* backends;  ///< null for the health routes of a server that is not up yet
  registry::Actor actor;      ///< the principal, as the registry knows it
  const auth::Principal& principal;  ///< who asks, as the policy knows it
  Target target;
  Query query;

  registry::Registry& registry() const {
    assert(backends != nullptr);
    return backends->registry;
  }
  /// For the routes of accounts and tokens: not in every test.
  registry::Identities& identities() const {
    assert(backends != nullptr && backends->identities != nullptr);
    return *backends->identities;
  }
  auth::AccessControl& access() const {
    assert(backends != nullptr && backends->access != nullptr);
    return *backends->access;
  }
  auth::TokenService& tokens() const {
    assert(backends != nullptr && backends->tokens != nullptr);
    return *backends->tokens;
  }
  AccountTools& accounts() const {
    assert(backends != nullptr && backends->accounts != nullptr);
    return *backends->accounts;
  }
  const oci::RepositoryName& repository() const { return *target.repository; }
  const oci::Digest& digest() const { return *target.digest; }
  const oci::Reference& reference() const { return *target.reference; }
  bool is_head() const { return request.method == Method::head; }
};

}  // namespace berth::api
