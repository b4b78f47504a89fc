// An authenticated caller, or one without a name: what the policy decides about.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/actions.h"
#include "auth/claim_rules.h"
#include "base/env.h"
#include "oci/name.h"
#include "registry/actor.h"
#include "registry/pattern.h"

namespace berth::auth {

/// Everybody counts as this; whoever showed a credential also as the other.
inline constexpr std::string_view kAnonymous = "anonymous";
inline constexpr std::string_view kAuthenticated = "authenticated";

/// The scope of a token: no more than this, whatever the grants say. Tags are the grants' business.
struct Ceiling {
  struct Scope {
    std::vector<registry::RepositoryPattern> repositories;
    /// A token with `push` that shall move tags holds `overwrite` too. `catalog` shows the names in lists without
    /// letting pull.
    Actions actions;
  };
  std::vector<Scope> scopes = {};  ///< what one of them holds; none: nothing

  /// `repository` is null for what concerns no single one: then a scope of `**` is asked for.
  bool allows(Action action, const oci::RepositoryName* repository) const;
};

/// What a credential says of its bearer that cannot be looked up again. The tokens made for the bearer carry it.
struct Testimony {
  std::vector<std::string> groups = {};   ///< from a directory or an issuer; subjects: `group:dev`
  std::vector<FederatedRole> roles = {};  ///< from the rules of an issuer
  std::string credential = {};            ///< the robot secret or personal token that was shown; empty: none
  bool operator==(const Testimony&) const = default;
};

struct Principal {
  std::string subject{kAnonymous};             ///< `user:alice`: who it is
  std::vector<std::string> subjects{subject};  ///< all that it counts as, itself included
  std::optional<Ceiling> ceiling = {};         ///< empty: none
  std::string method{kAnonymous};              ///< how it was authenticated, for the log
  registry::ActorId actor = registry::kAnonymousActor;
  Testimony testimony = {};
  /// What the credential gives by itself, beside the grants: roles from the rules of an issuer, and all that an outside
  /// token server says. For every tag.
  std::vector<Ceiling::Scope> rights = {};
  /// It came with an access token: another one may give more.
  bool from_token = false;
  /// Repositories that the access of the token names, if only to give nothing there: asking again would change nothing.
  std::vector<std::string> asked_for = {};
  /// A password of berth's own users was shown. Refresh tokens are for these alone: whatever else lets somebody in
  /// (a robot's secret, a directory, an issuer) would be outlived by them.
  bool may_refresh = false;
  /// When what an issuer said of it runs out: nothing that is had with it outlives that.
  WallTime vouched_until = WallTime::max();

  /// `groups` are subjects: `group:dev`.
  static Principal authenticated(std::string subject, std::vector<std::string> groups, registry::ActorId actor,
                                 std::string method);
  registry::Actor as_actor(std::string request_id) const;
};

}  // namespace berth::auth
