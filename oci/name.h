// Repository names, tags and references (distribution-spec, "Pulling manifests"). A value of these types is already
// checked; text becomes one at the edge and nowhere else.
#pragma once

#include <compare>
#include <cstddef>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "oci/digest.h"

namespace berth::oci {

class RepositoryName {
 public:
  static constexpr std::size_t kSizeMax = 255;
  /// Errors: name_invalid.
  static Result<RepositoryName> parse(std::string_view text);
  const std::string& text() const { return text_; }
  auto operator<=>(const RepositoryName&) const = default;

 private:
  explicit RepositoryName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

class Tag {
 public:
  static constexpr std::size_t kSizeMax = 128;
  /// Errors: tag_invalid.
  static Result<Tag> parse(std::string_view text);
  const std::string& text() const { return text_; }
  auto operator<=>(const Tag&) const = default;

 private:
  explicit Tag(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

/// Either of the two.
using Reference = std::variant<Tag, Digest>;

/// A text that holds ':' is a digest, else a tag. Errors: digest_invalid, digest_unsupported, tag_invalid.
Result<Reference> parse_reference(std::string_view text);
std::string to_string(const Reference& reference);

}  // namespace berth::oci
