// SipHash-2-4 with 128 bits (Aumasson, Bernstein): a keyed function of short texts that nobody without the key can
// tell from chance, several times cheaper than an HMAC.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace berth {

using SipKey = std::array<std::byte, 16>;

/// 128 bits. Compared in constant time.
struct SipDigest {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const SipDigest& other) const { return ((low ^ other.low) | (high ^ other.high)) == 0; }
};

SipDigest siphash(const SipKey& key, std::string_view text);

}  // namespace berth
