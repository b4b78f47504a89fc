// RFC 9110 §13: what a client believes of a reference must still hold when its change is applied.
#pragma once

#include <optional>

#include "base/result.h"
#include "oci/digest.h"
#include "registry/values.h"

namespace berth::registry {

/// `current` is what the reference leads to now; empty when it leads nowhere. Errors: precondition_failed.
Result<void> check_precondition(const Precondition& precondition, const std::optional<oci::Digest>& current);

}  // namespace berth::registry
