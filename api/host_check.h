// A server on loopback trusts whoever reaches it, and a browser can be made to reach it: by a page that posts to
// localhost (Origin), or by a foreign name that resolves to 127.0.0.1 (Host). Both say in their headers whose name they
// used.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"

namespace berth::api {

/// localhost, *.localhost, 127.0.0.0/8, [::1] or one of `allowed`, with any port or none. Case does not matter.
bool is_local_host(std::string_view host_and_port, const std::vector<std::string>& allowed);

/// Errors: host_refused.
Result<void> check_host(const Request& request, const std::vector<std::string>& allowed);

}  // namespace berth::api
