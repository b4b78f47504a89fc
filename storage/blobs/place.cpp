#include "storage/blobs/place.h"

#include <algorithm>
#include <charconv>

namespace berth::storage {
namespace {

constexpr std::size_t kUploadIdSize = 36;
constexpr std::size_t kBucketDigits = 8;

bool is_lower_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

bool is_upload_id(std::string_view text) {
  auto allowed = [](char c) { return is_lower_hex(c) || c == '-'; };
  return text.size() == kUploadIdSize && std::all_of(text.begin(), text.end(), allowed);
}

std::string bucket_name(std::uint32_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < kBucketDigits) digits.insert(0, kBucketDigits - digits.size(), '0');
  return digits;
}

std::optional<std::uint32_t> parse_bucket_name(std::string_view name) {
  std::uint32_t number = 0;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (failure != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  if (number == 0 || bucket_name(number) != name) return std::nullopt;
  return number;
}

std::string place_file_name(const oci::Digest& digest, std::string_view upload_id) {
  std::string name(oci::to_string(digest.algorithm()));
  name += '-';
  name += digest.hex();
  name += '.';
  name += upload_id;
  return name;
}

bool is_place_file_name(std::string_view name) {
  const std::size_t dash = name.find('-');
  if (dash == std::string_view::npos) return false;
  std::size_t hex_size = 0;
  for (const oci::Algorithm algorithm : {oci::Algorithm::sha256, oci::Algorithm::sha512}) {
    if (name.substr(0, dash) == oci::to_string(algorithm)) hex_size = 2 * oci::digest_size(algorithm);
  }
  if (hex_size == 0 || name.size() != dash + 1 + hex_size + 1 + kUploadIdSize) return false;
  const std::string_view hex = name.substr(dash + 1, hex_size);
  return std::all_of(hex.begin(), hex.end(), is_lower_hex) && name[dash + 1 + hex_size] == '.' &&
         is_upload_id(name.substr(dash + 1 + hex_size + 1));
}

Result<void> check_place(const Place& place) {
  const std::string_view name = place.name;
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos || !parse_bucket_name(name.substr(0, slash)) ||
      !is_place_file_name(name.substr(slash + 1))) {
    return make_error(ErrorCode::corrupt, "the record of a blob is damaged", "no place of a blob: " + place.name);
  }
  return {};
}

}  // namespace berth::storage
