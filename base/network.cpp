#include "base/network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

namespace berth {
namespace {

constexpr unsigned kV4Bits = 96;  ///< in front of an IPv4 address

bool is_v4(std::string_view text) { return text.find(':') == std::string_view::npos; }

IpAddress cut_to(const IpAddress& address, unsigned bits) {
  IpAddress out;
  for (unsigned i = 0; i < address.bytes.size(); ++i) {
    const unsigned kept = bits <= i * 8 ? 0 : std::min(8U, bits - i * 8);
    out.bytes[i] = static_cast<std::uint8_t>(address.bytes[i] & (0xFF00U >> kept));
  }
  return out;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN) return std::nullopt;
  const std::string terminated(text);
  IpAddress address;
  if (!is_v4(text)) {
    if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) != 1) return std::nullopt;
    return address;
  }
  address.bytes[10] = address.bytes[11] = 0xFF;
  if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data() + kV4Bits / 8) != 1) return std::nullopt;
  return address;
}

std::optional<IpAddress> IpAddress::parse_with_port(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    return parse(text.substr(1, end - 1));
  }
  const bool has_port = std::count(text.begin(), text.end(), ':') == 1;
  return parse(has_port ? text.substr(0, text.find(':')) : text);
}

std::optional<IpNetwork> IpNetwork::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  const auto base = IpAddress::parse(host);
  if (!base) return std::nullopt;
  IpNetwork network;
  network.base_ = *base;
  if (slash == std::string_view::npos) return network;
  const std::string_view digits = text.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  if (failed != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  if (bits > (is_v4(host) ? 32U : 128U)) return std::nullopt;
  network.prefix_bits_ = is_v4(host) ? bits + kV4Bits : bits;
  if (cut_to(*base, network.prefix_bits_) != *base) return std::nullopt;
  return network;
}

bool IpNetwork::contains(const IpAddress& address) const { return cut_to(address, prefix_bits_) == base_; }

}  // namespace berth
