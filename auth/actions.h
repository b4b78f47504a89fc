// What can be done, one by one and as sets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::auth {

/// What a route does to what it names. `none` asks for nothing: liveness, and the ping that says "a registry is here".
enum class Action : std::uint8_t {
  none,
  pull,
  push,  ///< blobs, manifests, new tags
  delete_,
  catalog,    ///< list repositories: no right of its own, but part of a token's scope
  overwrite,  ///< make an existing tag name something else
  admin,      ///< manage; on every repository: administrator of the registry
  metrics,    ///< read /metrics; only on every repository
};
inline constexpr std::size_t kActions = static_cast<std::size_t>(Action::metrics) + 1;
std::string_view to_string(Action action);
/// One that a role or grant may hold. Errors: request_invalid.
Result<Action> parse_action(std::string_view text);

/// A set. `none` is in no set.
class Actions {
 public:
  constexpr Actions() = default;
  constexpr Actions(std::initializer_list<Action> actions) {
    for (const Action action : actions) bits_ |= bit(action);
  }
  /// All that grants give.
  static constexpr Actions all() {
    return {Action::pull, Action::push, Action::overwrite, Action::delete_, Action::admin, Action::metrics};
  }
  constexpr bool has(Action action) const { return (bits_ & bit(action)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr Actions& operator|=(Actions other) { return bits_ |= other.bits_, *this; }
  constexpr Actions& operator&=(Actions other) { return bits_ &= other.bits_, *this; }
  friend constexpr Actions operator|(Actions a, Actions b) { return a |= b; }
  friend constexpr Actions operator&(Actions a, Actions b) { return a &= b; }
  constexpr bool operator==(const Actions&) const = default;

 private:
  static constexpr std::uint8_t bit(Action action) {
    return action == Action::none ? std::uint8_t{0} : static_cast<std::uint8_t>(1U << static_cast<unsigned>(action));
  }
  std::uint8_t bits_ = 0;
};
/// "pull,push", always in the same order; empty for none.
std::string to_string(Actions actions);

}  // namespace berth::auth
