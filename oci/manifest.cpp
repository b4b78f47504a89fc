#include "oci/manifest.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "base/json_text.h"
#include "oci/manifest_reader.h"
#include "oci/media_type.h"

namespace berth::oci {
namespace {

struct AcceptedType {
  std::string_view media_type;
  ManifestKind kind;
  bool must_name_itself;  ///< `mediaType` is required in the body
};

constexpr std::array<AcceptedType, 5> kAcceptedTypes = {{
    {kImageManifestType, ManifestKind::image, false},
    {kImageIndexType, ManifestKind::index, false},
    {kDockerManifestType, ManifestKind::image, true},
    {kDockerManifestListType, ManifestKind::index, true},
    {kArtifactManifestType, ManifestKind::artifact, true},
}};

Error invalid(std::string message) { return make_error(ErrorCode::manifest_invalid, std::move(message)); }

/// `text` came from outside: it is repeated only when it is a media type, and so harmless.
Result<AcceptedType> find_type(std::string_view text, const ManifestLimits& limits) {
  if (is_schema1_media_type(text)) return invalid("manifests of schema version 1 are not accepted");
  for (const AcceptedType& type : kAcceptedTypes) {
    if (type.media_type != text) continue;
    if (type.kind == ManifestKind::artifact && !limits.accept_artifact_manifest) break;
    return type;
  }
  if (!is_media_type(text)) return invalid("the media type of the manifest is malformed");
  return invalid(fmt::format("manifests of the media type {} are not accepted", text));
}

/// Clients that do not know what they send name one of these, or nothing.
bool says_nothing(std::string_view type) {
  return type.empty() || type == "application/octet-stream" || type == "application/json";
}

/// The type of a document that nobody names, by its members.
Result<AcceptedType> infer_type(const ManifestDocument& document, const ManifestLimits& limits) {
  const bool like_image = document.has(Member::config) || document.has(Member::layers);
  const bool like_index = document.has(Member::manifests);
  if (like_image == like_index) {
    return invalid("the manifest has no mediaType and its members do not tell whether it is an image or an index");
  }
  return find_type(like_image ? kImageManifestType : kImageIndexType, limits);
}

/// `declared`: what the request says; empty when it says nothing.
Result<AcceptedType> decide_type(const ManifestDocument& document, std::string_view declared,
                                 const ManifestLimits& limits) {
  if (declared.empty() && document.media_type.empty()) return infer_type(document, limits);
  if (!declared.empty() && !document.media_type.empty() && document.media_type != declared) {
    return invalid(fmt::format("the Content-Type is {} but the manifest's mediaType says something else", declared));
  }
  BERTH_TRY(const AcceptedType type, find_type(declared.empty() ? document.media_type : declared, limits));
  if (type.must_name_itself && document.media_type.empty()) {
    return invalid(fmt::format("a manifest of the type {} must carry its mediaType", type.media_type));
  }
  return type;
}

/// Members that a document of another kind has: one text must not be two things (CVE-2021-41190).
Result<void> refuse_members(const ManifestDocument& document,
                            std::span<const std::pair<Member, std::string_view>> members, const AcceptedType& type) {
  for (const auto& [member, name] : members) {
    if (document.has(member)) {
      return invalid(fmt::format("a manifest of the type {} must not have {}", type.media_type, name));
    }
  }
  return {};
}

Result<void> check_shape(const ManifestDocument& document, const AcceptedType& type) {
  using Named = std::pair<Member, std::string_view>;
  constexpr Named kNotInImages[] = {{Member::manifests, "manifests"}, {Member::fs_layers, "fsLayers"}};
  constexpr Named kNotInIndexes[] = {
      {Member::config, "config"}, {Member::layers, "layers"}, {Member::fs_layers, "fsLayers"}};
  constexpr Named kNotInArtifacts[] = {{Member::config, "config"},
                                       {Member::layers, "layers"},
                                       {Member::manifests, "manifests"},
                                       {Member::fs_layers, "fsLayers"}};

  // The withdrawn artifact manifest never had a schemaVersion.
  const bool may_lack_version = type.kind == ManifestKind::artifact && !document.has(Member::schema_version);
  if (!may_lack_version && document.schema_version != 2) return invalid("schemaVersion must be 2");
  switch (type.kind) {
    case ManifestKind::image:
      BERTH_CHECK(refuse_members(document, kNotInImages, type));
      if (!document.has_config) return invalid("an image manifest must have a config");
      if (!document.has(Member::layers)) return invalid("an image manifest must have layers");
      return {};
    case ManifestKind::index:
      BERTH_CHECK(refuse_members(document, kNotInIndexes, type));
      if (!document.has(Member::manifests)) return invalid("an index must have manifests");
      return {};
    case ManifestKind::artifact:
      return refuse_members(document, kNotInArtifacts, type);
  }
  return {};
}

EdgeKind edge_of(Member member, std::string_view media_type) {
  switch (member) {
    case Member::config:
      return EdgeKind::config;
    case Member::manifests:
      return is_manifest_media_type(media_type) ? EdgeKind::manifest : EdgeKind::content;
    default:
      return EdgeKind::layer;
  }
}

std::vector<Child> children_of(std::vector<ManifestDocument::Entry> entries) {
  std::vector<Child> children;
  children.reserve(entries.size());
  std::unordered_map<std::string, std::size_t> known;  // kind and digest → place in children
  for (auto& [member, descriptor] : entries) {
    Child child;
    child.kind = edge_of(member, descriptor.media_type);
    child.may_be_missing =
        member == Member::layers && descriptor.has_urls && is_nondistributable_layer(descriptor.media_type);
    const auto [place, is_new] =
        known.try_emplace(static_cast<char>(child.kind) + descriptor.digest_text, children.size());
    if (!is_new) {
      // One mention that needs it is enough.
      Child& first = children[place->second];
      first.may_be_missing = first.may_be_missing && child.may_be_missing;
      continue;
    }
    child.digest_text = std::move(descriptor.digest_text);
    child.digest = descriptor.digest;
    child.media_type = std::move(descriptor.media_type);
    child.size = *descriptor.size;
    children.push_back(std::move(child));
  }
  return children;
}

bool is_platform_word(std::string_view text) {
  constexpr std::size_t kWordMax = 64;
  const auto is_word_byte = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  };
  return !text.empty() && text.size() <= kWordMax && std::all_of(text.begin(), text.end(), is_word_byte);
}

/// The platforms of an index, each once, in document order. What is not a plain word, and BuildKit's unknown/unknown of
/// attestations, is left out: people read this.
std::string platforms_of(const std::vector<ManifestDocument::Entry>& entries) {
  constexpr std::size_t kSummaryMax = 1024;
  std::string summary;
  std::vector<std::string> listed;
  for (const auto& entry : entries) {
    const Descriptor& descriptor = entry.descriptor;
    if (!is_platform_word(descriptor.os) || !is_platform_word(descriptor.architecture)) continue;
    if (descriptor.os == "unknown" && descriptor.architecture == "unknown") continue;
    std::string platform = fmt::format("{}/{}", descriptor.os, descriptor.architecture);
    if (is_platform_word(descriptor.variant)) platform += '/' + descriptor.variant;
    if (std::find(listed.begin(), listed.end(), platform) != listed.end()) continue;
    if (summary.size() + 1 + platform.size() > kSummaryMax) break;
    if (!summary.empty()) summary += ',';
    summary += platform;
    listed.push_back(std::move(platform));
  }
  return summary;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view body, std::string_view content_type, const ManifestLimits& limits) {
  std::string declared = media_type_of_header(content_type);
  if (says_nothing(declared)) declared.clear();
  // A type that is refused anyway is refused before its body is looked at.
  if (!declared.empty()) BERTH_CHECK(find_type(declared, limits));

  const bool read_blobs = limits.accept_artifact_manifest && (declared.empty() || declared == kArtifactManifestType);
  BERTH_TRY(ManifestDocument document, read_manifest_document(body, limits, read_blobs));
  if (document.schema_version == 1) return invalid("manifests of schema version 1 are not accepted");
  BERTH_TRY(const AcceptedType type, decide_type(document, declared, limits));
  BERTH_CHECK(check_shape(document, type));

  Manifest manifest;
  manifest.kind = type.kind;
  manifest.media_type = type.media_type;
  manifest.artifact_type = std::move(document.artifact_type);
  manifest.annotations = std::move(document.annotations);
  if (document.subject) manifest.subject = std::move(document.subject->digest_text);
  // Only an artifact manifest has blobs; in another document they are an unknown member.
  if (type.kind != ManifestKind::artifact) {
    std::erase_if(document.entries, [](const auto& entry) { return entry.member == Member::blobs; });
  }
  for (const auto& entry : document.entries) {
    if (entry.member == Member::config) manifest.config_media_type = entry.descriptor.media_type;
  }
  if (type.kind == ManifestKind::image && manifest.artifact_type.empty()) {
    manifest.artifact_type = manifest.config_media_type;
  }
  if (type.kind == ManifestKind::index) manifest.platforms = platforms_of(document.entries);
  manifest.children = children_of(std::move(document.entries));
  return manifest;
}

std::string referrer_descriptor(const Manifest& manifest, const Digest& digest, std::uint64_t size) {
  std::string text = R"({"mediaType":)";
  append_json_string(text, manifest.media_type);
  text += fmt::format(R"(,"size":{},"digest":)", size);
  append_json_string(text, digest.to_string());
  if (!manifest.artifact_type.empty()) {
    text += R"(,"artifactType":)";
    append_json_string(text, manifest.artifact_type);
  }
  if (manifest.annotations) text += R"(,"annotations":)" + *manifest.annotations;
  text += '}';
  return text;
}

}  // namespace berth::oci
