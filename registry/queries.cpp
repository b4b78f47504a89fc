#include "registry/queries.h"

#include <algorithm>
#include <map>

#include "registry/index.h"

namespace berth::registry {

namespace {

Error blob_unknown() { return make_error(ErrorCode::blob_unknown, "this repository has no such blob"); }
Error manifest_unknown() {
  return make_error(ErrorCode::manifest_unknown, "this repository has no such manifest or tag");
}

/// The first key that is greater than every key that begins with `prefix` + `last` and nothing more.
std::string after(std::string key) {
  key.push_back('\0');  // neither names nor tags hold a zero byte, so nothing lies between
  return key;
}

/// A scan that begins right after the entry named `last`, or at the first when it is empty.
Result<std::unique_ptr<kv::Cursor>> scan_after(const kv::Reader& reader, kv::Family family, const std::string& prefix,
                                               std::string_view last) {
  kv::KeyRange range = kv::prefix_range(prefix);
  if (!last.empty()) range.begin = after(prefix + std::string(last));
  return reader.scan(family, std::move(range));
}

/// What the tags of a repository must not point at: manifests that left tags behind, and up to which generation.
Result<std::map<oci::Digest, std::uint64_t>> leftovers(const kv::Reader& reader, RepositoryId repository) {
  std::map<oci::Digest, std::uint64_t> hidden;
  BERTH_TRY(const auto cursor, reader.scan(LeftoverKey::kFamily, kv::prefix_range(LeftoverKey::prefix(repository))));
  for (; cursor->valid(); cursor->next()) {
    BERTH_TRY(const LeftoverKey key, LeftoverKey::decode(cursor->key()));
    BERTH_TRY(const LeftoverRecord record, decode<LeftoverRecord>(cursor->value()));
    hidden.emplace(key.digest, record.generation);
  }
  BERTH_CHECK(cursor->status());
  return hidden;
}

/// A visibility made ready for many names.
class VisibleNames {
 public:
  explicit VisibleNames(const Visibility& visibility) : all_(visibility.all) {
    for (const RepositoryPattern& pattern : visibility.patterns) shown_.add(pattern, 0);
    shown_.build();
    ranges_ = all_ ? everything() : shown_.ranges();
    if (!visibility.within) return;
    within_.emplace();
    for (const RepositoryPattern& pattern : *visibility.within) within_->add(pattern, 0);
    within_->build();
    ranges_ = intersect(ranges_, within_->ranges());
  }
  /// In order and apart; every visible name lies in one of them.
  const std::vector<kv::KeyRange>& ranges() const { return ranges_; }
  bool shows(std::string_view name) const {
    return (all_ || shown_.matches(name)) && (!within_ || within_->matches(name));
  }

 private:
  static std::vector<kv::KeyRange> everything() { return {kv::KeyRange{}}; }
  bool all_;
  PatternIndex shown_;
  std::optional<PatternIndex> within_;
  std::vector<kv::KeyRange> ranges_;
};

constexpr std::size_t kCursorSize = 16;

/// A cursor of the referrers list: the sequence number of the last entry that was looked at, in hex.
std::string format_cursor(std::uint64_t sequence) {
  std::string text(kCursorSize, '0');
  for (std::size_t i = kCursorSize; i-- > 0; sequence >>= 4) text[i] = "0123456789abcdef"[sequence & 15];
  return text;
}

Result<std::uint64_t> parse_cursor(std::string_view text) {
  const Error invalid = make_error(ErrorCode::page_invalid, "this is not a cursor that a page of referrers gave");
  if (text.size() != kCursorSize) return invalid;
  std::uint64_t sequence = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return invalid;
    sequence = (sequence << 4) | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return sequence;
}

}  // namespace

Result<std::optional<RepositoryId>> find_repository(const kv::Reader& reader, NamespaceId name_space,
                                                    const oci::RepositoryName& name) {
  BERTH_TRY(const auto binding, get(reader, RepositoryNameKey{name_space, name.text()}));
  return binding ? std::optional(binding->repository) : std::nullopt;
}

Result<BlobLink> find_link(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                           const oci::Digest& digest) {
  BERTH_TRY(const auto repository, find_repository(reader, name_space, name));
  if (!repository) return blob_unknown();
  BERTH_TRY(const auto link, get(reader, LinkKey{*repository, digest}));
  if (!link || link->state != LinkState::visible) return blob_unknown();
  BERTH_TRY(const auto object, get(reader, ObjectKey{ObjectKind::blob, digest}));
  if (!object) return make_error(ErrorCode::corrupt, "a link leads to no blob", digest.to_string());
  if (object->state != ObjectState::live) return blob_unknown();
  return BlobLink{*repository, link->size, link->due};
}

Result<ResolvedBlob> resolve_blob(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                                  const oci::Digest& digest) {
  ResolvedBlob blob;
  BERTH_TRY(blob.link, find_link(reader, name_space, name, digest));
  BERTH_TRY(const auto place, get(reader, PlaceKey{digest}));
  if (!place) return make_error(ErrorCode::corrupt, "a blob has no place", digest.to_string());
  if (!place->is_inline()) {
    blob.content = storage::Place{place->file};
    return blob;
  }
  BERTH_TRY(auto bytes, reader.get(ContentKey::kFamily, ContentKey{ObjectKind::blob, digest}.encode()));
  if (!bytes || bytes->size() != blob.link.size) {
    return make_error(ErrorCode::corrupt, "an inline blob has not its bytes", digest.to_string());
  }
  blob.content = *std::move(bytes);
  return blob;
}

Result<std::optional<StoredBlob>> find_stored_blob(const kv::Reader& reader, const oci::Digest& digest) {
  BERTH_TRY(const auto object, get(reader, ObjectKey{ObjectKind::blob, digest}));
  BERTH_TRY(const auto place, get(reader, PlaceKey{digest}));
  if (!object || !place) return std::optional<StoredBlob>{};
  StoredBlob blob;
  blob.size = object->size;
  blob.quarantined = object->state != ObjectState::live;
  if (!place->is_inline()) blob.place = storage::Place{place->file};
  return std::optional<StoredBlob>(std::move(blob));
}

Result<bool> is_place_in_use(const kv::Reader& reader, const storage::Place& place) {
  // <bucket>/<algorithm>-<hex>.<upload id>
  const std::string_view name = std::string_view(place.name).substr(place.name.rfind('/') + 1);
  const std::size_t dash = name.find('-');
  const std::size_t dot = name.find('.');
  if (dash == std::string_view::npos || dot == std::string_view::npos || dot < dash) return false;
  std::string text(name.substr(0, dash));
  text.append(":").append(name.substr(dash + 1, dot - dash - 1));
  Result<oci::Digest> digest = oci::Digest::parse(text);
  if (!digest) return false;
  BERTH_TRY(const auto record, get(reader, PlaceKey{*digest}));
  return record && record->file == place.name;
}

Result<ResolvedManifest> find_manifest(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                                       const oci::Reference& reference) {
  BERTH_TRY(const auto repository, find_repository(reader, name_space, name));
  if (!repository) return manifest_unknown();
  ResolvedManifest answer;
  if (const auto* tag = std::get_if<oci::Tag>(&reference)) {
    BERTH_TRY(const auto record, find_tag(reader, *repository, tag->text()));
    if (!record) return manifest_unknown();
    answer.digest = record->digest;
  } else {
    answer.digest = std::get<oci::Digest>(reference);
  }
  BERTH_TRY(const auto manifest, get(reader, ManifestKey{*repository, answer.digest}));
  if (!manifest || manifest->state != ManifestState::live) return manifest_unknown();
  const ObjectKey key{ObjectKind::manifest, answer.digest};
  BERTH_TRY(const auto object, get(reader, key));
  if (object && object->state != ObjectState::live) return manifest_unknown();
  BERTH_TRY(auto bytes, reader.get(ContentKey::kFamily, ContentKey{key.kind, key.digest}.encode()));
  if (!object || !bytes || bytes->size() != manifest->size) {
    return make_error(ErrorCode::corrupt, "a manifest has not its bytes", answer.digest.to_string());
  }
  answer.type = manifest_type(manifest->kind, manifest->artifact_type);
  answer.media_type = manifest->media_type;
  answer.bytes = *std::move(bytes);
  return answer;
}

Result<bool> tag_counts(const kv::Reader& reader, RepositoryId repository, const TagRecord& tag) {
  BERTH_TRY(const auto manifest, get(reader, ManifestKey{repository, tag.digest}));
  return manifest && manifest->state == ManifestState::live && manifest->generation == tag.generation;
}

Result<std::optional<TagRecord>> find_tag(const kv::Reader& reader, RepositoryId repository, const std::string& tag) {
  BERTH_TRY(auto record, get(reader, TagKey{repository, tag}));
  if (!record) return record;
  BERTH_TRY(const bool live, tag_counts(reader, repository, *record));
  if (!live) record.reset();
  return record;
}

Result<TagPage> list_tags(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                          std::size_t n, std::string_view last) {
  BERTH_TRY(const auto repository, find_repository(reader, name_space, name));
  if (!repository) return make_error(ErrorCode::repository_unknown, "there is no such repository");
  TagPage page;
  if (n == 0) return page;
  BERTH_TRY(const auto hidden, leftovers(reader, *repository));
  BERTH_TRY(const auto cursor, scan_after(reader, TagKey::kFamily, TagKey::prefix(*repository), last));
  for (; cursor->valid(); cursor->next()) {
    BERTH_TRY(TagKey key, TagKey::decode(cursor->key()));
    if (!hidden.empty()) {
      BERTH_TRY(const TagRecord record, decode<TagRecord>(cursor->value()));
      const auto found = hidden.find(record.digest);
      if (found != hidden.end() && record.generation < found->second) continue;
    }
    page.more = page.tags.size() == n;
    if (page.more) break;
    page.tags.push_back(std::move(key.tag));
  }
  BERTH_CHECK(cursor->status());
  return page;
}

Result<RepositoryPage> list_repositories(const kv::Reader& reader, NamespaceId name_space, const Visibility& visibility,
                                         std::size_t n, std::string_view last) {
  RepositoryPage page;
  if (n == 0) return page;
  const VisibleNames visible(visibility);
  const std::string prefix = CatalogKey::prefix(name_space);
  const std::string first = last.empty() ? std::string() : after(std::string(last));
  for (const kv::KeyRange& names : visible.ranges()) {
    const std::string& begin = std::max(names.begin, first);
    if (!names.end.empty() && names.end <= begin) continue;
    kv::KeyRange range = kv::prefix_range(prefix);
    range.begin += begin;
    if (!names.end.empty()) range.end = prefix + names.end;
    BERTH_TRY(const auto cursor, reader.scan(CatalogKey::kFamily, std::move(range)));
    for (; cursor->valid(); cursor->next()) {
      BERTH_TRY(CatalogKey key, CatalogKey::decode(cursor->key()));
      if (!visible.shows(key.name)) continue;
      page.more = page.names.size() == n;
      if (page.more) return page;
      page.names.push_back(std::move(key.name));
    }
    BERTH_CHECK(cursor->status());
  }
  return page;
}

Result<ReferrerPage> list_referrers(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                                    std::string_view subject, const std::vector<std::string>& types, std::size_t n,
                                    std::size_t bytes_max, std::string_view cursor_text, Patience patience) {
  std::uint64_t looked_at = 0;
  if (!cursor_text.empty()) {
    BERTH_TRY(looked_at, parse_cursor(cursor_text));
  }
  ReferrerPage page;
  BERTH_TRY(const auto repository, find_repository(reader, name_space, name));
  if (!repository || n == 0) return page;
  const std::string prefix = ReferrerKey::prefix(*repository, subject);
  kv::KeyRange range = kv::prefix_range(prefix);
  if (looked_at == ~std::uint64_t{0}) return page;
  kv::append_u64(range.begin = prefix, looked_at + 1);  // sequence numbers are given once
  BERTH_TRY(const auto cursor, reader.scan(ReferrerKey::kFamily, std::move(range)));
  const bool glance = patience == Patience::glance;
  const std::size_t scanned_max = glance ? kReferrersGlancedMax : kReferrersScannedMax;
  const std::size_t scanned_bytes_max = glance ? kReferrersGlancedBytesMax : kReferrersScannedBytesMax;
  std::size_t bytes = 0;
  std::size_t scanned_bytes = 0;
  for (std::size_t scanned = 0; cursor->valid(); cursor->next(), ++scanned) {
    if (scanned == scanned_max || scanned_bytes >= scanned_bytes_max) {
      if (glance) return make_error(ErrorCode::would_block, "more referrers than an I/O thread reads");
      page.next_cursor = format_cursor(looked_at);
      break;
    }
    scanned_bytes += cursor->value().size();
    BERTH_TRY(const ReferrerKey key, ReferrerKey::decode(cursor->key()));
    // The type first: what it drops is not copied.
    BERTH_TRY(const auto type, artifact_type_of(cursor->value()));
    const bool wanted = types.empty() || std::ranges::find(types, type) != types.end();
    if (wanted) {
      BERTH_TRY(ReferrerRecord record, decode<ReferrerRecord>(cursor->value()));
      const bool fits = page.descriptors.empty() || bytes + record.descriptor.size() <= bytes_max;
      if (page.descriptors.size() == n || !fits) {
        page.next_cursor = format_cursor(looked_at);
        break;
      }
      bytes += record.descriptor.size();
      page.descriptors.push_back(std::move(record.descriptor));
    }
    looked_at = key.sequence;
  }
  BERTH_CHECK(cursor->status());
  return page;
}

namespace {

template <class Key>
Result<std::vector<Key>> queue_front(const kv::Reader& reader, Uptime uptime, std::size_t limit) {
  std::vector<Key> entries;
  BERTH_TRY(const auto cursor, reader.scan(Key::kFamily, kv::prefix_range(Key::prefix())));
  for (; entries.size() < limit && cursor->valid(); cursor->next()) {
    BERTH_TRY(Key key, Key::decode(cursor->key()));
    if (key.due > uptime) break;
    entries.push_back(std::move(key));
  }
  BERTH_CHECK(cursor->status());
  return entries;
}

}  // namespace

Result<std::vector<DueKey>> due_entries(const kv::Reader& reader, Uptime uptime, std::size_t limit) {
  return queue_front<DueKey>(reader, uptime, limit);
}

Result<std::vector<ReapKey>> reap_entries(const kv::Reader& reader, Uptime uptime, std::size_t limit) {
  return queue_front<ReapKey>(reader, uptime, limit);
}

Result<UsageRecord> repository_usage(const kv::Reader& reader, RepositoryId repository) {
  BERTH_TRY(const auto usage, get(reader, UsageKey{repository}));
  return usage.value_or(UsageRecord{});
}

Result<ProjectUsageRecord> project_usage(const kv::Reader& reader, NamespaceId name_space, std::string_view project) {
  BERTH_TRY(const auto usage, get(reader, ProjectUsageKey{name_space, std::string(project)}));
  return usage.value_or(ProjectUsageRecord{});
}

}  // namespace berth::registry
