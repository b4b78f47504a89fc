// How far an outbound connection may go. Whoever can make berth fetch a URL must not reach through it what only berth
// can reach: this machine, the network behind it, the cloud's metadata service.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string_view>

namespace berth {

enum class Reach : std::uint8_t {
  internet,         ///< addresses that are routed publicly, nothing else
  private_network,  ///< and this machine and private networks (RFC 1918, RFC 4193, RFC 6598), but never link-local
                    ///< addresses or those of cloud metadata services
  anywhere,
};

/// The least reach that lets a connection go to `address`; AF_INET and AF_INET6 only, all others need `anywhere`. An
/// IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) counts as the IPv4 address that it leads to.
Reach reach_needed(const sockaddr* address, socklen_t size);
/// The same for the text of an address without port, brackets or zone; `anywhere` for what is none.
Reach reach_needed(std::string_view literal);

}  // namespace berth
