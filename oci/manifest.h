// What a manifest or index says (image-spec manifest.md, image-index.md; docker's schema 2 twins), read strictly:
// one object, valid UTF-8, no BOM, bounded depth, no duplicate keys, no key that differs from a known one only by case,
// integers as integers, nothing after the object.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/digest.h"

namespace berth::oci {

inline constexpr std::string_view kImageManifestType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kImageIndexType = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kDockerManifestType = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerManifestListType = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kArtifactManifestType = "application/vnd.oci.artifact.manifest.v1+json";

enum class ManifestKind : std::uint8_t { image = 1, index = 2, artifact = 3 };  // reaches the disk

/// What a parent needs a child for. Reaches the disk: never renumber.
enum class EdgeKind : std::uint8_t {
  config = 1,
  layer = 2,
  manifest = 3,  ///< an index child of a manifest media type
  content = 4,   ///< an index child of any other type: a blob or a manifest (BuildKit's registry cache)
};

struct Child {
  EdgeKind kind = EdgeKind::layer;
  std::string digest_text;       ///< as written
  std::optional<Digest> digest;  ///< empty when the algorithm is unsupported: such a child can never be present
  std::string media_type;
  std::uint64_t size = 0;       ///< bytes, as written
  bool may_be_missing = false;  ///< a non-distributable layer with urls
};

struct Manifest {
  ManifestKind kind = ManifestKind::image;
  std::string media_type;
  std::string artifact_type;           ///< as the referrers API shows it: own, else config's media type; may be empty
  std::string config_media_type;       ///< empty for an index
  std::optional<std::string> subject;  ///< digest text, any algorithm of the grammar
  std::optional<std::string> annotations;  ///< the JSON object, compact; empty when the manifest has none
  std::vector<Child> children;             ///< in document order, duplicates removed
  std::string platforms;                   ///< "linux/amd64,linux/arm64/v8" for an index, for people; bounded at 1 KiB
};

struct ManifestLimits {
  std::size_t depth_max = 32;
  std::size_t descriptors_max = 1000;
  bool accept_artifact_manifest = false;
};

/// `content_type` is the request's header as sent (may be empty or carry parameters). Errors: manifest_invalid with a
/// sentence that says what and where.
Result<Manifest> parse_manifest(std::string_view body, std::string_view content_type, const ManifestLimits& limits);

/// The descriptor the referrers API lists for a stored manifest: mediaType, size, digest, artifactType?, annotations?
/// and nothing else, as compact JSON.
std::string referrer_descriptor(const Manifest& manifest, const Digest& digest, std::uint64_t size);

}  // namespace berth::oci
