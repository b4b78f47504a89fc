// What people push, as far as its manifest says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "oci/manifest.h"
#include "registry/values.h"

namespace berth::registry {

enum class ManifestType : std::uint8_t {
  image,
  index,
  helm,
  artifact,
  unknown,  ///< of a manifest that nobody has read
};
inline constexpr std::size_t kManifestTypes = 5;

/// `artifact_type` as in oci::Manifest. Never `unknown`.
ManifestType manifest_type(oci::ManifestKind kind, std::string_view artifact_type);

/// An answer that also knows what it is, for those who count.
struct ResolvedManifest final : ManifestAnswer {
  ManifestType type = ManifestType::unknown;
};

}  // namespace berth::registry
