#include "auth/authenticator.h"

#include <utility>

namespace berth::auth {

registry::Actor anonymous(std::string request_id) {
  return {.id = registry::kAnonymousActor, .request_id = std::move(request_id)};
}

}  // namespace berth::auth
