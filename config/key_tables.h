// The rows of the one table, by what they are about. keys.h has them together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "config/keys.h"

namespace berth::config {

std::span<const Key> general_keys();
std::span<const Key> auth_keys();

inline constexpr std::uint64_t kKiB = 1 << 10, kMiB = 1 << 20, kGiB = 1 << 30;
inline constexpr std::uint64_t kSecond = 1'000, kMinute = 60 * kSecond, kHour = 60 * kMinute, kDay = 24 * kHour;
inline constexpr std::uint64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

}  // namespace berth::config
