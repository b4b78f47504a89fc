// Proves that the rig finds what it is there for: a bug is planted behind a digest that only coverage can lead to. This
// target must be found failing within seconds; when it is not, the other targets' silence means nothing.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "oci/digest.h"
#include "tests/fuzz/property.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto digest = berth::oci::Digest::parse(text);
  if (!digest.has_value()) {
    // The planted bug: a well-formed digest of another algorithm, with an encoded part of a certain form.
    const bool planted = digest.error().code == berth::ErrorCode::digest_unsupported && text.ends_with("=Z");
    require(!planted, "the planted bug (this is the finding that is wanted)");
  }
  return 0;
}
