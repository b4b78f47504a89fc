#include "server/forwarded.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace berth::server {
namespace {

std::string text_of(const IpAddress& address) {
  static constexpr std::array<std::uint8_t, 12> kV4Prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  const bool v4 = std::equal(kV4Prefix.begin(), kV4Prefix.end(), address.bytes.begin());
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(v4 ? AF_INET : AF_INET6, address.bytes.data() + (v4 ? kV4Prefix.size() : 0), text, sizeof text);
  return text;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

bool TrustedProxies::trusts(const IpAddress& address) const {
  return std::any_of(networks_.begin(), networks_.end(), [&](const IpNetwork& each) { return each.contains(address); });
}

std::optional<std::string> TrustedProxies::client_of(const api::Headers& headers) const {
  std::optional<IpAddress> client;
  const auto fields = headers.all("X-Forwarded-For");
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    std::string_view rest = *field;
    while (true) {
      const std::size_t comma = rest.rfind(',');
      const auto hop = IpAddress::parse_with_port(trim(comma == std::string_view::npos ? rest : rest.substr(comma + 1)));
      // What stands before something that cannot be read was not written by a proxy of ours either.
      if (!hop) return client ? std::optional(text_of(*client)) : std::nullopt;
      client = hop;
      if (!trusts(*hop)) return text_of(*client);
      if (comma == std::string_view::npos) break;
      rest = rest.substr(0, comma);
    }
  }
  return client ? std::optional(text_of(*client)) : std::nullopt;
}

}  // namespace berth::server
