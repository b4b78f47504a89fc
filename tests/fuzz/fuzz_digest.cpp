// Digest texts and digest keys.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "oci/digest.h"
#include "tests/fuzz/property.h"

using namespace berth;
using namespace berth::oci;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool in_grammar = is_digest_grammar(text);
  const auto digest = Digest::parse(text);
  if (digest) {
    require(in_grammar, "a digest follows the general grammar");
    require(digest->to_string() == text, "format after parse gives the text back");
    require(Digest::decode_key(digest->key()).value() == *digest, "decode after encode gives the digest back");
  } else if (digest.error().code == ErrorCode::digest_unsupported) {
    require(in_grammar, "an unsupported digest follows the general grammar");
  } else {
    require(digest.error().code == ErrorCode::digest_invalid, "a refusal is digest_invalid or digest_unsupported");
  }
  if (in_grammar) {
    require(size <= Digest::kTextMax && text.find('/') == std::string_view::npos, "a digest text is short and no path");
  }

  const auto decoded = Digest::decode_key(text);
  if (decoded) {
    require(decoded->key() == text, "encode after decode gives the key back");
    require(Digest::parse(decoded->to_string()).value() == *decoded, "a stored digest has a text");
  } else {
    require(decoded.error().code == ErrorCode::corrupt, "a bad key is corrupt");
  }
  return 0;
}
