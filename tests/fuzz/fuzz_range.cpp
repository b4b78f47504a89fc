// Range headers of reads and ranges of uploads. The first nine bytes choose the size of the content and the limit.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "oci/range.h"
#include "tests/fuzz/property.h"

using namespace berth::oci;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kChoices = 9;
  if (size < kChoices) return 0;
  std::uint64_t content = 0;
  std::memcpy(&content, data, sizeof content);
  // Small contents are the interesting ones, but not only they.
  if (data[8] % 4 != 0) content %= 16;
  const std::size_t ranges_max = data[8] % 8;
  const std::string_view header(reinterpret_cast<const char*>(data) + kChoices, size - kChoices);

  const RangeAnswer answer = resolve_range(header, content, ranges_max);
  if (const auto* ranges = std::get_if<std::vector<ByteRange>>(&answer)) {
    require(!ranges->empty() && ranges->size() <= ranges_max, "the number of ranges is within the limit");
    std::string again = "bytes=";
    for (const ByteRange& range : *ranges) {
      require(range.begin < range.end && range.end <= content, "a range lies inside the content");
      if (again.size() > 6) again += ',';
      again += std::to_string(range.begin) + '-' + std::to_string(range.end - 1);
    }
    require(resolve_range(again, content, ranges_max) == answer, "parse after format gives the ranges back");
    require(content > 0, "empty content has no range");
  }

  if (const auto upload = parse_upload_range(header)) {
    require(upload->begin < upload->end, "an upload range is not empty");
    const std::string again = std::to_string(upload->begin) + '-' + std::to_string(upload->end - 1);
    require(parse_upload_range(again) == upload, "parse after format gives the upload range back");
  }
  return 0;
}
