// Reads the JSON of a manifest or index as it is written, before anything is decided about its type. Internal to
// manifest.cpp.
//
// The reader follows the events of a non-recursive parser with a small stack of its own, keeps the members that the
// standards name and skips the rest, so memory is bounded by the body's size and depth by the limit, whatever is sent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/digest.h"
#include "oci/manifest.h"

namespace berth::oci {

/// Members that the standards name, of all levels.
enum class Member : std::uint8_t {
  schema_version,
  media_type,
  artifact_type,
  config,
  layers,
  manifests,
  blobs,
  subject,
  annotations,
  fs_layers,
  digest,
  size,
  urls,
  data,
  platform,
  os,
  os_version,
  architecture,
  variant,
};

struct Descriptor {
  std::string media_type;
  std::string digest_text;
  std::optional<Digest> digest;       ///< empty when the algorithm is unsupported
  std::optional<std::uint64_t> size;  ///< bytes
  bool has_urls = false;
  std::string os;
  std::string architecture;
  std::string variant;
};

/// What the document says. Every descriptor is complete and grammatical; null reads as absent, as Go clients read it.
struct ManifestDocument {
  struct Entry {
    Member member = Member::layers;  ///< config, layers, manifests or blobs
    Descriptor descriptor;
  };

  std::uint32_t seen = 0;  ///< members present at the top level (null included), by bit; see has()
  std::optional<std::uint64_t> schema_version;
  std::string media_type;  ///< empty when absent
  std::string artifact_type;
  std::vector<Entry> entries;  ///< in document order
  bool has_config = false;     ///< a config that is not null
  std::optional<Descriptor> subject;
  std::optional<std::string> annotations;  ///< compact JSON

  bool has(Member member) const { return (seen >> static_cast<unsigned>(member) & 1U) != 0; }
};

/// `read_blobs`: is `blobs` a list of descriptors (artifact manifests), or an unknown member like any other?
/// Errors: manifest_invalid.
Result<ManifestDocument> read_manifest_document(std::string_view body, const ManifestLimits& limits, bool read_blobs);

}  // namespace berth::oci
