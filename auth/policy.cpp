#include "auth/policy.h"

namespace berth::auth {

std::string_view to_string(Action action) {
  switch (action) {
    case Action::none: return "none";
    case Action::pull: return "pull";
    case Action::push: return "push";
    case Action::delete_: return "delete";
    case Action::catalog: return "catalog";
    case Action::overwrite: return "overwrite";
  }
  return "unknown";
}

Policy Policy::allow_all() {
  Policy policy;
  policy.everything_ = true;
  return policy;
}

Decision Policy::decide(const registry::Actor&, Action action, const oci::RepositoryName*,
                        const oci::Tag*) const {
  if (everything_) return {.allowed = true, .reason = "everybody may do everything"};
  if (action == Action::none) return {.allowed = true, .reason = "asks for no right"};
  return {};
}

registry::TagSet Policy::tags(const registry::Actor&, Action, const oci::RepositoryName&) const {
  return {.all = everything_};
}

registry::Visibility Policy::visibility(const registry::Actor&) const { return {.all = everything_}; }

}  // namespace berth::auth
