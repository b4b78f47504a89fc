#include "storage/kv/kv.h"

#include <cstdlib>

namespace berth::kv {

KeyRange prefix_range(std::string_view prefix) {
  KeyRange range{std::string(prefix), std::string(prefix)};
  // The least key above all that start with the prefix: drop trailing 0xff, then count the last byte up.
  while (!range.end.empty() && range.end.back() == '\xff') range.end.pop_back();
  if (!range.end.empty()) range.end.back() = static_cast<char>(static_cast<unsigned char>(range.end.back()) + 1);
  return range;
}

void append_u64(std::string& key, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(value >> shift));
}

std::uint64_t read_u64(std::string_view eight_bytes) {
  if (eight_bytes.size() != 8) std::abort();  // a caller that did not check the length: a bug
  std::uint64_t value = 0;
  for (const char byte : eight_bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

std::int64_t read_counter(const std::optional<std::string>& value) {
  if (!value) return 0;
  if (value->size() != 8) std::abort();  // checksums guard the disk, so somebody put() what is no counter: a bug
  std::uint64_t raw = 0;
  for (std::size_t i = 8; i-- > 0;) raw = raw << 8 | static_cast<unsigned char>((*value)[i]);
  return static_cast<std::int64_t>(raw);
}

}  // namespace berth::kv
