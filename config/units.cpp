// Text to numbers with units and back, and the grammar of addresses.
#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "config/keys.h"

namespace berth::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr Unit kSizeUnits[] = {
    {"TiB", 1ull << 40}, {"GiB", 1ull << 30},     {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"TB", 1'000'000'000'000},
    {"GB", 1'000'000'000}, {"MB", 1'000'000}, {"KB", 1'000},       {"B", 1},
};
constexpr Unit kDurationUnits[] = {
    {"d", 86'400'000}, {"h", 3'600'000}, {"ms", 1}, {"m", 60'000}, {"s", 1'000},
};
// A century: far beyond any use, and far from where nanosecond clocks overflow.
constexpr std::uint64_t kDurationMax = 36'525ull * 86'400'000;

/// Digits, then a unit of the table (or none when `bare_allowed`, or for 0). Empty when it is not that or overflows.
std::optional<std::uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units, bool bare_allowed) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || text.empty()) return std::nullopt;
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (unit.empty()) return bare_allowed || number == 0 ? std::optional(number) : std::nullopt;
  for (const Unit& candidate : units) {
    if (candidate.name != unit) continue;
    if (number > std::numeric_limits<std::uint64_t>::max() / candidate.factor) return std::nullopt;
    return number * candidate.factor;
  }
  return std::nullopt;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  if (auto bytes = parse_with_unit(text, kSizeUnits, true)) return *bytes;
  return make_error(ErrorCode::request_invalid, "expected a size as 4096, 64KiB, 8MiB or 2GiB");
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  auto count = parse_with_unit(text, kDurationUnits, false);
  if (count && *count <= kDurationMax) return std::chrono::milliseconds(*count);
  return make_error(ErrorCode::request_invalid, "expected a duration as 250ms, 10s, 5m, 24h or 14d");
}

std::string format_size(std::uint64_t bytes) {
  for (const Unit& unit : std::span(kSizeUnits).first(4))
    if (bytes != 0 && bytes % unit.factor == 0) return std::to_string(bytes / unit.factor) + std::string(unit.name);
  return std::to_string(bytes);
}

std::string format_duration(std::chrono::milliseconds duration) {
  auto count = static_cast<std::uint64_t>(duration.count());
  if (count == 0) return "0s";
  constexpr std::uint64_t kDay = 86'400'000;
  if (count % kDay == 0 && count / kDay > 1) return std::to_string(count / kDay) + "d";  // 24h reads better than 1d
  for (auto [name, factor] : {Unit{"h", 3'600'000}, Unit{"m", 60'000}, Unit{"s", 1'000}})
    if (count % factor == 0) return std::to_string(count / factor) + std::string(name);
  return std::to_string(count) + "ms";
}

Result<HostPort> parse_host_port(std::string_view text) {
  auto wrong = [&] {
    return make_error(ErrorCode::request_invalid,
                      "expected an address and a port, as 127.0.0.1:5000, 0.0.0.0:5000 or [::1]:5000");
  };
  std::string_view host, port;
  if (text.starts_with('[')) {
    std::size_t close = text.find(']');
    if (close == text.npos || close + 1 >= text.size() || text[close + 1] != ':') return wrong();
    host = text.substr(1, close - 1);
    port = text.substr(close + 2);
    in6_addr ignored{};
    if (inet_pton(AF_INET6, std::string(host).c_str(), &ignored) != 1) return wrong();
  } else {
    std::size_t colon = text.rfind(':');
    if (colon == text.npos || colon == 0) return wrong();
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    // Also keeps out an IPv6 address without brackets, whose last group would pass for a port.
    auto is_host = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-'; };
    if (!std::all_of(host.begin(), host.end(), is_host)) return wrong();
  }
  HostPort parsed{std::string(host), 0};
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), parsed.port);
  if (error != std::errc{} || end != port.data() + port.size()) return wrong();
  return parsed;
}

bool is_loopback(std::string_view host) {
  if (host == "localhost") return true;
  std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string_view closest(std::string_view text, std::span<const std::string_view> candidates) {
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, text.size() / 3) + 1;
  for (std::string_view candidate : candidates) {
    // Levenshtein over one row; names are short, and a longer text than any name is near none.
    if (text.size() > 64) break;
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 0; i < text.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i + 1;
      for (std::size_t j = 0; j < candidate.size(); ++j) {
        std::size_t substituted = diagonal + (text[i] != candidate[j]);
        diagonal = row[j + 1];
        row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
      }
    }
    if (row.back() < best_distance) best_distance = row.back(), best = candidate;
  }
  return best;
}

}  // namespace berth::config
