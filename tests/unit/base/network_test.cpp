#include "base/network.h"

#include <catch2/catch.hpp>

using namespace berth;

TEST_CASE("addresses are read as proxies write them") {
  struct Row {
    const char* text;
    const char* address;  ///< null: none
  };
  const auto row = GENERATE(values<Row>({
      {"192.0.2.7", "192.0.2.7"},
      {"192.0.2.7:80", "192.0.2.7"},
      {"::ffff:192.0.2.7", "192.0.2.7"},
      {"2001:db8::7", "2001:db8:0::7"},
      {"[2001:db8::7]", "2001:db8::7"},
      {"[2001:db8::7]:443", "2001:db8::7"},
      {"[2001:db8::7", nullptr},
      {"unknown", nullptr},
      {"_hidden", nullptr},
      {"", nullptr},
      {"192.0.2", nullptr},
      {"192.0.2.256", nullptr},
      {"fe80::1%eth0", nullptr},
      {"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23", nullptr},
  }));
  CAPTURE(row.text);
  const auto address = IpAddress::parse_with_port(row.text);
  REQUIRE(address.has_value() == (row.address != nullptr));
  if (address) CHECK(*address == IpAddress::parse(row.address).value());
}

TEST_CASE("a network contains its addresses and no other") {
  struct Row {
    const char* network;
    const char* inside;
    const char* outside;
  };
  const auto row = GENERATE(values<Row>({
      {"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
      {"10.1.2.0/23", "10.1.3.255", "10.1.4.0"},
      {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
      {"192.0.2.7/32", "::ffff:192.0.2.7", "::192.0.2.7"},
      {"0.0.0.0/0", "255.255.255.255", "2001:db8::1"},
      {"fd00::/8", "fdff::1", "fe00::1"},
      {"::/0", "10.0.0.1", nullptr},
      {"2001:db8::7", "2001:db8::7", "2001:db8::8"},
  }));
  CAPTURE(row.network);
  const auto network = IpNetwork::parse(row.network);
  REQUIRE(network);
  CHECK(network->contains(IpAddress::parse(row.inside).value()));
  if (row.outside != nullptr) CHECK_FALSE(network->contains(IpAddress::parse(row.outside).value()));
}

TEST_CASE("what is no network is none") {
  const auto* const text = GENERATE("", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8 ", "10.0.0.1/8",
                                    "fd00::/129", "fd00::1/8", "10.0.0.0:80/8", "proxy.example.com", "10.0.0.0/8/8");
  CAPTURE(text);
  CHECK_FALSE(IpNetwork::parse(text));
}
