#include "base/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>

namespace berth {
namespace {

using V6 = std::array<std::uint8_t, 16>;

struct V4Range {
  std::uint32_t network;
  int bits;
  Reach needed;
};

constexpr std::uint32_t v4(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

// IANA's special-purpose registry for IPv4, and the metadata services that live at addresses which look harmless. The
// first row that holds the address counts.
constexpr V4Range kV4[] = {
    {v4(100, 100, 100, 200), 32, Reach::anywhere},  // metadata of Alibaba Cloud
    {v4(168, 63, 129, 16), 32, Reach::anywhere},    // the host agent of Azure
    {v4(10, 0, 0, 0), 8, Reach::private_network},
    {v4(100, 64, 0, 0), 10, Reach::private_network},
    {v4(127, 0, 0, 0), 8, Reach::private_network},
    {v4(172, 16, 0, 0), 12, Reach::private_network},
    {v4(192, 168, 0, 0), 16, Reach::private_network},
    {v4(0, 0, 0, 0), 8, Reach::anywhere},       // "this network": 0.0.0.0 reaches this machine
    {v4(169, 254, 0, 0), 16, Reach::anywhere},  // link-local, with most metadata services
    {v4(192, 0, 0, 0), 24, Reach::anywhere},    // protocol assignments, with metadata of Oracle Cloud
    {v4(192, 0, 2, 0), 24, Reach::anywhere},    // documentation
    {v4(192, 88, 99, 0), 24, Reach::anywhere},  // 6to4 relays
    {v4(198, 18, 0, 0), 15, Reach::anywhere},   // benchmarks
    {v4(198, 51, 100, 0), 24, Reach::anywhere},
    {v4(203, 0, 113, 0), 24, Reach::anywhere},
    {v4(224, 0, 0, 0), 3, Reach::anywhere},  // multicast, reserved, broadcast
};

Reach of_v4(std::uint32_t address) {
  for (const auto& range : kV4)
    if (((address ^ range.network) >> (32 - range.bits)) == 0) return range.needed;
  return Reach::internet;
}

bool begins(const V6& address, std::initializer_list<std::uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

std::uint32_t v4_at(const V6& address, std::size_t at) {
  return v4(address[at], address[at + 1], address[at + 2], address[at + 3]);
}

Reach of_v6(const V6& address) {
  const bool zeros = std::all_of(address.begin(), address.begin() + 10, [](std::uint8_t byte) { return byte == 0; });
  if (zeros && address[10] == 0xff && address[11] == 0xff) return of_v4(v4_at(address, 12));  // mapped
  if (zeros && address[10] == 0 && address[11] == 0)
    return v4_at(address, 12) == 1 ? Reach::private_network : Reach::anywhere;  // ::1; unspecified and old "compatible"
  if (begins(address, {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) return of_v4(v4_at(address, 12));  // NAT64
  if (begins(address, {0x20, 0x02})) return of_v4(v4_at(address, 2));                                       // 6to4
  // Metadata of Amazon's and of Google's clouds, inside the range of private networks.
  if (begins(address, {0xfd, 0x00, 0x0e, 0xc2}) || begins(address, {0xfd, 0x20, 0x00, 0xce})) return Reach::anywhere;
  if ((address[0] & 0xfe) == 0xfc) return Reach::private_network;
  if (begins(address, {0x20, 0x01, 0x00}) || begins(address, {0x20, 0x01, 0x01}))
    return Reach::anywhere;  // protocol assignments: Teredo, benchmarks, ORCHID
  if (begins(address, {0x20, 0x01, 0x0d, 0xb8})) return Reach::anywhere;  // documentation
  // All that is routed publicly lies in 2000::/3; link-local, multicast and what is not assigned lie outside.
  return (address[0] & 0xe0) == 0x20 ? Reach::internet : Reach::anywhere;
}

}  // namespace

Reach reach_needed(const sockaddr* address, socklen_t size) {
  if (address->sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    return of_v4(ntohl(in.sin_addr.s_addr));
  }
  if (address->sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in{};
    std::memcpy(&in, address, sizeof in);
    V6 bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    return of_v6(bytes);
  }
  return Reach::anywhere;
}

Reach reach_needed(std::string_view literal) {
  const std::string text(literal);
  in_addr in{};
  if (inet_pton(AF_INET, text.c_str(), &in) == 1) return of_v4(ntohl(in.s_addr));
  V6 bytes{};
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return of_v6(bytes);
  return Reach::anywhere;
}

}  // namespace berth
