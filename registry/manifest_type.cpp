#include "registry/manifest_type.h"

namespace berth::registry {

ManifestType manifest_type(oci::ManifestKind kind, std::string_view artifact_type) {
  if (kind == oci::ManifestKind::index) return ManifestType::index;
  if (kind == oci::ManifestKind::artifact) return ManifestType::artifact;
  if (artifact_type == "application/vnd.cncf.helm.config.v1+json") return ManifestType::helm;
  const bool is_image = artifact_type.empty() || artifact_type == "application/vnd.oci.image.config.v1+json" ||
                        artifact_type == "application/vnd.docker.container.image.v1+json";
  return is_image ? ManifestType::image : ManifestType::artifact;
}

}  // namespace berth::registry
