#include "auth/actions.h"

namespace berth::auth {

namespace {

/// In the order in which sets are written.
constexpr Action kWritten[] = {Action::pull,  Action::push,    Action::overwrite, Action::delete_,
                               Action::admin, Action::metrics, Action::catalog};

}  // namespace

std::string_view to_string(Action action) {
  switch (action) {
    case Action::none:
      return "none";
    case Action::pull:
      return "pull";
    case Action::push:
      return "push";
    case Action::delete_:
      return "delete";
    case Action::catalog:
      return "catalog";
    case Action::overwrite:
      return "overwrite";
    case Action::admin:
      return "admin";
    case Action::metrics:
      return "metrics";
  }
  return "unknown";
}

Result<Action> parse_action(std::string_view text) {
  for (const Action action : kWritten) {
    if (Actions::all().has(action) && text == to_string(action)) return action;
  }
  return make_error(ErrorCode::request_invalid, "'" + std::string(text.substr(0, 64)) +
                                                    "' is no action: there are pull, push, overwrite, delete, admin, "
                                                    "metrics");
}

std::string to_string(Actions actions) {
  std::string text;
  for (const Action action : kWritten) {
    if (!actions.has(action)) continue;
    if (!text.empty()) text += ',';
    text += to_string(action);
  }
  return text;
}

}  // namespace berth::auth
