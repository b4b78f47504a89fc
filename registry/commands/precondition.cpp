#include "registry/commands/precondition.h"

#include <algorithm>

namespace berth::registry {

Result<void> check_precondition(const Precondition& precondition, const std::optional<oci::Digest>& current) {
  if (!precondition.any()) return {};
  if (precondition.must_not_exist && current) {
    return make_error(ErrorCode::precondition_failed, "it exists already, as " + current->to_string());
  }
  if (precondition.must_exist && !current) return make_error(ErrorCode::precondition_failed, "it does not exist");
  if (!precondition.must_match.empty()) {
    if (!current) return make_error(ErrorCode::precondition_failed, "it does not exist");
    const std::string text = current->to_string();
    if (std::ranges::find(precondition.must_match, text) == precondition.must_match.end()) {
      return make_error(ErrorCode::precondition_failed, "it is " + text + " by now");
    }
  }
  return {};
}

}  // namespace berth::registry
