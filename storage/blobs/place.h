// The names of blob files, and the checks that stand between a stored string and a path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/digest.h"
#include "storage/blobs/blob_store.h"

namespace berth::storage {

/// Is this 36 characters of [0-9a-f-]? Nothing else ever becomes a file name in `uploads/`.
bool is_upload_id(std::string_view text);

/// Buckets are numbered from 1 and written with eight digits, so that name order is number order.
std::string bucket_name(std::uint32_t number);
std::optional<std::uint32_t> parse_bucket_name(std::string_view name);

/// `<algorithm>-<hex>.<upload id>`
std::string place_file_name(const oci::Digest& digest, std::string_view upload_id);

/// Does a name that lies in a bucket follow place_file_name()?
bool is_place_file_name(std::string_view name);

/// A place comes from a record, and a disk is outside too. Errors: corrupt.
Result<void> check_place(const Place& place);

}  // namespace berth::storage
