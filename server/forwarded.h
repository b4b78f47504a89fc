// Who is behind a proxy. Anybody can write an X-Forwarded-For, so it counts only from addresses that the settings trust.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/http.h"
#include "base/network.h"

namespace berth::server {

/// Proxies of one listener. Const after its construction.
class TrustedProxies {
 public:
  TrustedProxies() = default;
  explicit TrustedProxies(std::vector<IpNetwork> networks) : networks_(std::move(networks)) {}

  bool trusts(const IpAddress& address) const;
  /// The client, as the trusted proxies in front of us tell it: of `X-Forwarded-For` (each proxy appends whom it speaks
  /// with) the last address that is no trusted proxy's. Empty: they tell none that can be read.
  std::optional<std::string> client_of(const api::Headers& headers) const;

 private:
  std::vector<IpNetwork> networks_;
};

}  // namespace berth::server
