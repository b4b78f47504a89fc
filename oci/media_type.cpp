#include "oci/media_type.h"

#include <algorithm>
#include <array>

#include "oci/manifest.h"

namespace berth::oci {
namespace {

constexpr std::array<std::string_view, 2> kSchema1Types = {
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
};

constexpr std::array<std::string_view, 4> kNondistributableTypes = {
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
};

constexpr std::array<std::string_view, 5> kManifestTypes = {
    kImageManifestType, kImageIndexType, kDockerManifestType, kDockerManifestListType, kArtifactManifestType,
};

template <std::size_t kSize>
bool contains(const std::array<std::string_view, kSize>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
bool is_name_byte(char c) { return is_alnum(c) || std::string_view("!#$&-^_.+").find(c) != std::string_view::npos; }

/// restricted-name of RFC 6838 §4.2
bool is_restricted_name(std::string_view text) {
  constexpr std::size_t kNameMax = 127;
  return !text.empty() && text.size() <= kNameMax && is_alnum(text.front()) &&
         std::all_of(text.begin(), text.end(), is_name_byte);
}

}  // namespace

bool is_media_type(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && is_restricted_name(text.substr(0, slash)) &&
         is_restricted_name(text.substr(slash + 1));
}

std::string media_type_of_header(std::string_view header) {
  constexpr std::string_view kBlank = " \t";
  header = header.substr(0, header.find(';'));
  const std::size_t first = header.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  header = header.substr(first, header.find_last_not_of(kBlank) - first + 1);
  std::string type(header);
  for (char& c : type) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return type;
}

bool is_nondistributable_layer(std::string_view media_type) { return contains(kNondistributableTypes, media_type); }

bool is_manifest_media_type(std::string_view media_type) {
  return contains(kManifestTypes, media_type) || is_schema1_media_type(media_type);
}

bool is_schema1_media_type(std::string_view media_type) { return contains(kSchema1Types, media_type); }

}  // namespace berth::oci
