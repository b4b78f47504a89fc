// From what the identities keep to what the policy works with, and back.
#pragma once

#include <optional>
#include <vector>

#include "auth/policy.h"
#include "auth/principal.h"
#include "registry/identities/values.h"

namespace berth::auth {

Actions actions_of(registry::ActionMask mask);
/// Actions that cannot be stored (`catalog`) are left out.
registry::ActionMask mask_of(Actions actions);

/// Patterns were checked when they were stored; one that is none all the same matches nothing.
Role role_of(const registry::Role& role);
Grant grant_of(const registry::StoredGrant& grant);
std::optional<Ceiling> ceiling_of(const registry::Ceiling& ceiling);

/// What both allow. Where two patterns overlap and neither holds the other, nothing: too little, never too much.
std::optional<Ceiling> intersect(std::optional<Ceiling> left, std::optional<Ceiling> right);

}  // namespace berth::auth
