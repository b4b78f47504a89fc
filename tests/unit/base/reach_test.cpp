#include "base/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <catch2/catch.hpp>

namespace berth {

TEST_CASE("how far one must be allowed to reach for an address") {
  struct Row {
    const char* address;
    Reach needed;
  };
  const Row rows[] = {
      {"1.1.1.1", Reach::internet},
      {"140.82.112.3", Reach::internet},
      {"9.255.255.255", Reach::internet},
      {"172.15.255.255", Reach::internet},
      {"172.32.0.0", Reach::internet},
      {"100.63.255.255", Reach::internet},
      {"100.128.0.0", Reach::internet},
      {"169.253.255.255", Reach::internet},
      {"223.255.255.255", Reach::internet},
      {"2606:4700::1111", Reach::internet},
      {"::ffff:1.1.1.1", Reach::internet},
      {"64:ff9b::1.1.1.1", Reach::internet},
      {"2002:101:101::", Reach::internet},
      {"127.0.0.1", Reach::private_network},
      {"127.255.255.255", Reach::private_network},
      {"10.0.0.1", Reach::private_network},
      {"172.16.0.1", Reach::private_network},
      {"172.31.255.255", Reach::private_network},
      {"192.168.1.1", Reach::private_network},
      {"100.64.0.1", Reach::private_network},
      {"::1", Reach::private_network},
      {"fc00::1", Reach::private_network},
      {"fdff::1", Reach::private_network},
      {"::ffff:127.0.0.1", Reach::private_network},
      {"::ffff:10.0.0.1", Reach::private_network},
      {"64:ff9b::10.0.0.1", Reach::private_network},
      {"2002:a00:1::", Reach::private_network},
      {"0.0.0.0", Reach::anywhere},
      {"169.254.0.1", Reach::anywhere},
      {"169.254.169.254", Reach::anywhere},
      {"100.100.100.200", Reach::anywhere},
      {"168.63.129.16", Reach::anywhere},
      {"192.0.0.192", Reach::anywhere},
      {"224.0.0.1", Reach::anywhere},
      {"255.255.255.255", Reach::anywhere},
      {"::", Reach::anywhere},
      {"::7f00:1", Reach::anywhere},
      {"fe80::1", Reach::anywhere},
      {"ff02::1", Reach::anywhere},
      {"fd00:ec2::254", Reach::anywhere},
      {"fd20:ce::254", Reach::anywhere},
      {"::ffff:169.254.169.254", Reach::anywhere},
      {"64:ff9b::169.254.169.254", Reach::anywhere},
      {"64:ff9b:1::1", Reach::anywhere},
      {"2002:a9fe:a9fe::", Reach::anywhere},
      {"2001:0:1::", Reach::anywhere},
      {"2001:db8::1", Reach::anywhere},
      {"localhost", Reach::anywhere},
      {"", Reach::anywhere},
      {"127.1", Reach::anywhere},
  };
  for (const auto& row : rows) {
    INFO(row.address);
    CHECK(reach_needed(std::string_view(row.address)) == row.needed);
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (inet_pton(AF_INET, row.address, &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
      CHECK(reach_needed(reinterpret_cast<sockaddr*>(&v4), sizeof v4) == row.needed);
    } else if (inet_pton(AF_INET6, row.address, &v6.sin6_addr) == 1) {
      v6.sin6_family = AF_INET6;
      CHECK(reach_needed(reinterpret_cast<sockaddr*>(&v6), sizeof v6) == row.needed);
      CHECK(reach_needed(reinterpret_cast<sockaddr*>(&v6), sizeof v4) == Reach::anywhere);  // cut off
    }
  }
  sockaddr unix_socket{};
  unix_socket.sa_family = AF_UNIX;
  CHECK(reach_needed(&unix_socket, sizeof unix_socket) == Reach::anywhere);
}

}  // namespace berth
