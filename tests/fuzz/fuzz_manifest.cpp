// Manifests. The first byte chooses the Content-Type and the limits, the rest is the body. The oracle is the JSON
// library's document: what berth accepts it must accept too, and its members must say the same.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "oci/manifest.h"
#include "tests/fuzz/property.h"

using namespace berth;
using namespace berth::oci;

namespace {

constexpr std::string_view kContentTypes[] = {"",
                                              kImageManifestType,
                                              kImageIndexType,
                                              kDockerManifestType,
                                              kDockerManifestListType,
                                              kArtifactManifestType,
                                              "application/json; charset=utf-8",
                                              "application/vnd.docker.distribution.manifest.v1+json"};

bool same(const Child& left, const Child& right) {
  return left.kind == right.kind && left.digest_text == right.digest_text && left.digest == right.digest &&
         left.media_type == right.media_type && left.size == right.size && left.may_be_missing == right.may_be_missing;
}

bool same(const Manifest& left, const Manifest& right) {
  return left.kind == right.kind && left.media_type == right.media_type && left.artifact_type == right.artifact_type &&
         left.config_media_type == right.config_media_type && left.subject == right.subject &&
         left.annotations == right.annotations && left.platforms == right.platforms &&
         std::equal(left.children.begin(), left.children.end(), right.children.begin(), right.children.end(),
                    [](const Child& a, const Child& b) { return same(a, b); });
}

void check(const Manifest& manifest, std::string_view body, const ManifestLimits& limits) {
  const auto document = nlohmann::json::parse(body, nullptr, false);
  require(document.is_object(), "an accepted manifest is one JSON object");
  require(manifest.children.size() <= limits.descriptors_max, "the number of children is within the limit");
  require(document.value("mediaType", nlohmann::json()).is_null() || document["mediaType"] == "" ||
              document["mediaType"] == manifest.media_type,
          "the body's mediaType is the type");
  require(!(document.contains("manifests") && (document.contains("layers") || document.contains("config"))),
          "no document is an image and an index at once");
  for (const Child& child : manifest.children) {
    require(is_digest_grammar(child.digest_text), "a child has a digest");
    if (child.digest) require(child.digest->to_string() == child.digest_text, "digest and text agree");
  }
  if (manifest.subject) require(document["subject"]["digest"] == *manifest.subject, "the subject is the document's");
  const auto annotations = document.value("annotations", nlohmann::json());
  if (manifest.annotations) {
    require(nlohmann::json::parse(*manifest.annotations) == annotations, "annotations are kept whole");
  } else {
    require(annotations.is_null(), "no annotation is lost");
  }
  const auto listed = nlohmann::json::parse(referrer_descriptor(manifest, sha256(body), body.size()), nullptr, false);
  require(listed.is_object() && listed["size"] == body.size() && listed["mediaType"] == manifest.media_type,
          "the referrer's descriptor is JSON and names type and size");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view content_type = kContentTypes[data[0] % 8];
  ManifestLimits limits;
  limits.descriptors_max = 8;
  limits.depth_max = 8;
  limits.accept_artifact_manifest = (data[0] & 8) != 0;

  const auto manifest = parse_manifest(body, content_type, limits);
  if (!manifest) {
    require(manifest.error().code == ErrorCode::manifest_invalid, "a refusal is manifest_invalid");
    require(!manifest.error().message.empty() && manifest.error().message.size() < 1024, "a refusal says why, shortly");
    return 0;
  }
  check(*manifest, body, limits);
  const auto named = parse_manifest(body, manifest->media_type, limits);
  require(named.has_value() && same(*named, *manifest), "the type that was found leads to the same manifest");
  // Written again by another library: members in another order, other blanks and escapes.
  const std::string again = nlohmann::ordered_json::parse(body).dump(1, ' ', true);
  const auto reread = parse_manifest(again, content_type, limits);
  require(reread.has_value() && same(*reread, *manifest), "the same document in other bytes is the same manifest");
  return 0;
}
