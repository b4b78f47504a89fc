// Byte ranges: RFC 9110 §14 for reads, the Content-Range and Range forms of distribution-spec for uploads.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

namespace berth::oci {

/// Half-open: [begin, end).
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

struct WholeContent {
  bool operator==(const WholeContent&) const = default;
};
struct Unsatisfiable {
  bool operator==(const Unsatisfiable&) const = default;
};
/// One entry: a plain 206. Several: multipart/byteranges in request order, not coalesced.
using RangeAnswer = std::variant<WholeContent, Unsatisfiable, std::vector<ByteRange>>;

/// Resolves a Range header against content of `size` bytes. Another unit or a syntax error is ignored (WholeContent);
/// more than `ranges_max` ranges too, and ranges that together are more than the content (RFC 9110 §14.2: who asks for it
/// many times over is no good client). A start at or past the end, or last < first, is Unsatisfiable; so is any range of
/// empty content. In a list, one unsatisfiable member makes the whole list fall back to WholeContent, as clients count
/// parts; if all are, Unsatisfiable.
RangeAnswer resolve_range(std::string_view header, std::uint64_t size, std::size_t ranges_max);

/// `^[0-9]+-[0-9]+$` with first <= last, as PATCH and PUT carry it ("bytes " in front is tolerated). Empty when malformed.
std::optional<ByteRange> parse_upload_range(std::string_view header);

}  // namespace berth::oci
