#include "base/env.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

namespace berth {

std::string format_rfc3339(WallTime time) {
  const auto milliseconds = time.time_since_epoch().count();
  const auto seconds = static_cast<std::time_t>(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, milliseconds - seconds * 1000);
}

WallTime SystemClock::wall() const {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}
SteadyTime SystemClock::steady() const { return std::chrono::steady_clock::now(); }

namespace {

void random_bytes(std::span<std::byte> out) {
  // Ids made without entropy could be guessed; there is nothing sensible to do without it.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size())) != 1) std::abort();
}

/// Bytes made ahead, each given out once and wiped: every request wants an id, and OpenSSL's generator takes locks and a
/// system call each time it is asked.
struct RandomAhead {
  std::array<std::byte, 1024> bytes;
  std::size_t left = 0;
};

}  // namespace

void SystemEntropy::fill(std::span<std::byte> out) {
  thread_local RandomAhead ahead;
  if (out.size() > ahead.bytes.size() / 16) return random_bytes(out);
  if (ahead.left < out.size()) {
    random_bytes(ahead.bytes);
    ahead.left = ahead.bytes.size();
  }
  const auto taken = std::span(ahead.bytes).subspan(ahead.left - out.size(), out.size());
  std::copy(taken.begin(), taken.end(), out.begin());
  OPENSSL_cleanse(taken.data(), taken.size());
  ahead.left -= out.size();
}

std::string make_uuid(Entropy& entropy) {
  std::array<std::byte, 16> raw{};
  entropy.fill(raw);
  raw[6] = (raw[6] & std::byte{0x0f}) | std::byte{0x40};
  raw[8] = (raw[8] & std::byte{0x3f}) | std::byte{0x80};
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kHex[std::to_integer<unsigned>(raw[i]) >> 4];
    text += kHex[std::to_integer<unsigned>(raw[i]) & 15];
  }
  return text;
}

}  // namespace berth
