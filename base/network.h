// IP addresses and networks, as settings and headers write them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace berth {

/// An address; IPv4 as the IPv6 that stands for it (RFC 4291 §2.5.5.2), so that both kinds compare.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  /// `192.0.2.7`, `2001:db8::7`; empty: neither. A zone (`%eth0`) is none.
  static std::optional<IpAddress> parse(std::string_view text);
  /// As a proxy writes it: with a port or none, IPv6 in brackets or not.
  static std::optional<IpAddress> parse_with_port(std::string_view text);
  bool operator==(const IpAddress&) const = default;
};

/// A network, or a single address.
class IpNetwork {
 public:
  /// `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`; empty: none of these, or bits are set behind its prefix.
  static std::optional<IpNetwork> parse(std::string_view text);
  bool contains(const IpAddress& address) const;

 private:
  IpAddress base_;
  unsigned prefix_bits_ = 128;
};

}  // namespace berth
