#include "registry/keys.h"

#include "registry/key_bytes.h"

namespace berth::registry {

namespace {

// The prefix byte of each kind of record within its family. On disk: never renumber.
enum Meta : std::uint8_t { kFormat = 1, kCounter = 2, kUptime = 3, kLogStart = 4 };
enum Names : std::uint8_t { kRepositoryName = 1, kRepository = 2, kCatalog = 3 };
enum Objects : std::uint8_t { kObject = 1, kPlace = 2 };
enum Links : std::uint8_t { kLink = 1, kHolder = 2 };
enum Manifests : std::uint8_t { kManifest = 1, kEdge = 2, kChild = 3, kReferrer = 4 };
enum Tags : std::uint8_t { kTag = 1, kTagOf = 2, kTagIndex = 3, kLeftover = 4 };
enum TagLogs : std::uint8_t { kTagLog = 1 };
enum Queues : std::uint8_t { kDue = 1, kReap = 2 };
enum Usages : std::uint8_t { kUsage = 1, kProjectUsage = 2, kPulls = 3 };

/// The length of a semver sort key at the front of `rest`: three u64, then 01 for a release, or 00 and identifiers (01
/// u64, or 02 text 00) and a final 00. 0 when there is none. See tag_sort_key.
std::size_t semver_key_size(std::string_view rest) {
  std::size_t at = 24;
  if (rest.size() <= at) return 0;
  if (rest[at] == '\1') return at + 1;
  if (rest[at++] != '\0') return 0;
  while (at < rest.size()) {
    const char kind = rest[at++];
    if (kind == '\0') return at;
    if (kind == '\1') {
      at += 8;
    } else if (kind == '\2') {
      const std::size_t end = rest.find('\0', at);
      if (end == std::string_view::npos) return 0;
      at = end + 1;
    } else {
      return 0;
    }
  }
  return 0;
}

}  // namespace

kv::Schema schema() {
  return {
      {"meta", kv::Access::point},  {"names", kv::Access::scan},   {"objects", kv::Access::point},
      {"bytes", kv::Access::large}, {"links", kv::Access::scan},   {"manifests", kv::Access::scan},
      {"tags", kv::Access::scan},   {"tag_log", kv::Access::scan}, {"queues", kv::Access::queue},
      {"log", kv::Access::log},     {"usage", kv::Access::point}, {"identities", kv::Access::scan},
  };
}

std::string cache_key(NamespaceId name_space, std::string_view repository, std::string_view reference) {
  std::string key;
  key.reserve(8 + repository.size() + 1 + reference.size());
  kv::append_u64(key, name_space);
  key.append(repository);
  key.push_back('\0');
  key.append(reference);
  return key;
}

std::string_view project_of(std::string_view repository_name) {
  return repository_name.substr(0, repository_name.find('/'));
}

// ---- meta ----

std::string FormatKey::encode() const { return KeyWriter(kFormat); }
std::string CounterKey::encode() const { return KeyWriter(kCounter).kind(counter); }
std::string UptimeKey::encode() const { return KeyWriter(kUptime); }
std::string LogStartKey::encode() const { return KeyWriter(kLogStart); }

// ---- names ----

std::string RepositoryNameKey::encode() const { return KeyWriter(kRepositoryName).u64(name_space).last(name); }
std::string RepositoryNameKey::prefix(NamespaceId name_space) { return KeyWriter(kRepositoryName).u64(name_space); }
Result<RepositoryNameKey> RepositoryNameKey::decode(std::string_view key) {
  KeyReader in(key, kRepositoryName);
  RepositoryNameKey out;
  out.name_space = in.u64();
  out.name = in.last();
  return in.end(std::move(out));
}

std::string RepositoryKey::encode() const { return KeyWriter(kRepository).u64(repository); }
std::string RepositoryKey::prefix() { return KeyWriter(kRepository); }
Result<RepositoryKey> RepositoryKey::decode(std::string_view key) {
  KeyReader in(key, kRepository);
  RepositoryKey out;
  out.repository = in.u64();
  return in.end(out);
}

std::string CatalogKey::encode() const { return KeyWriter(kCatalog).u64(name_space).last(name); }
std::string CatalogKey::prefix(NamespaceId name_space) { return KeyWriter(kCatalog).u64(name_space); }
Result<CatalogKey> CatalogKey::decode(std::string_view key) {
  KeyReader in(key, kCatalog);
  CatalogKey out;
  out.name_space = in.u64();
  out.name = in.last();
  return in.end(std::move(out));
}

// ---- objects and bytes ----

std::string ObjectKey::encode() const { return KeyWriter(kObject).kind(kind).digest(digest); }
std::string ObjectKey::prefix() { return KeyWriter(kObject); }
Result<ObjectKey> ObjectKey::decode(std::string_view key) {
  KeyReader in(key, kObject);
  ObjectKey out;
  out.kind = in.kind(ObjectKind::manifest);
  out.digest = in.digest();
  return in.end(out);
}

std::string PlaceKey::encode() const { return KeyWriter(kPlace).kind(ObjectKind::blob).digest(digest); }
std::string PlaceKey::prefix() { return KeyWriter(kPlace); }
Result<PlaceKey> PlaceKey::decode(std::string_view key) {
  KeyReader in(key, kPlace);
  PlaceKey out;
  if (in.kind(ObjectKind::manifest) != ObjectKind::blob) in.fail();
  out.digest = in.digest();
  return in.end(out);
}

std::string ContentKey::encode() const { return KeyWriter(static_cast<std::uint8_t>(kind)).digest(digest); }
Result<ContentKey> ContentKey::decode(std::string_view key) {
  const auto kind = key.empty() ? ObjectKind::blob : static_cast<ObjectKind>(key[0]);
  KeyReader in(key, static_cast<std::uint8_t>(kind));
  if (kind != ObjectKind::blob && kind != ObjectKind::manifest) in.fail();
  ContentKey out;
  out.kind = kind;
  out.digest = in.digest();
  return in.end(out);
}

// ---- links ----

std::string LinkKey::encode() const { return KeyWriter(kLink).u64(repository).digest(digest); }
std::string LinkKey::prefix() { return KeyWriter(kLink); }
std::string LinkKey::prefix(RepositoryId repository) { return KeyWriter(kLink).u64(repository); }
Result<LinkKey> LinkKey::decode(std::string_view key) {
  KeyReader in(key, kLink);
  LinkKey out;
  out.repository = in.u64();
  out.digest = in.digest();
  return in.end(out);
}

std::string HolderKey::encode() const { return KeyWriter(kHolder).kind(kind).digest(digest).u64(repository); }
std::string HolderKey::prefix() { return KeyWriter(kHolder); }
std::string HolderKey::prefix(ObjectKind kind, const oci::Digest& digest) {
  return KeyWriter(kHolder).kind(kind).digest(digest);
}
Result<HolderKey> HolderKey::decode(std::string_view key) {
  KeyReader in(key, kHolder);
  HolderKey out;
  out.kind = in.kind(ObjectKind::manifest);
  out.digest = in.digest();
  out.repository = in.u64();
  return in.end(out);
}

// ---- manifests ----

std::string ManifestKey::encode() const { return KeyWriter(kManifest).u64(repository).digest(digest); }
std::string ManifestKey::prefix() { return KeyWriter(kManifest); }
std::string ManifestKey::prefix(RepositoryId repository) { return KeyWriter(kManifest).u64(repository); }
Result<ManifestKey> ManifestKey::decode(std::string_view key) {
  KeyReader in(key, kManifest);
  ManifestKey out;
  out.repository = in.u64();
  out.digest = in.digest();
  return in.end(out);
}

std::string EdgeKey::encode() const { return KeyWriter(kEdge).digest(child).u64(repository).digest(parent); }
std::string EdgeKey::prefix() { return KeyWriter(kEdge); }
std::string EdgeKey::prefix(const oci::Digest& child, RepositoryId repository) {
  return KeyWriter(kEdge).digest(child).u64(repository);
}
Result<EdgeKey> EdgeKey::decode(std::string_view key) {
  KeyReader in(key, kEdge);
  EdgeKey out;
  out.child = in.digest();
  out.repository = in.u64();
  out.parent = in.digest();
  return in.end(out);
}

std::string ChildKey::encode() const { return KeyWriter(kChild).u64(repository).digest(parent).digest(child); }
std::string ChildKey::prefix() { return KeyWriter(kChild); }
std::string ChildKey::prefix(RepositoryId repository) { return KeyWriter(kChild).u64(repository); }
std::string ChildKey::prefix(RepositoryId repository, const oci::Digest& parent) {
  return KeyWriter(kChild).u64(repository).digest(parent);
}
Result<ChildKey> ChildKey::decode(std::string_view key) {
  KeyReader in(key, kChild);
  ChildKey out;
  out.repository = in.u64();
  out.parent = in.digest();
  out.child = in.digest();
  return in.end(out);
}

std::string ReferrerKey::encode() const {
  return KeyWriter(kReferrer).u64(repository).text(subject).u64(sequence).digest(digest);
}
std::string ReferrerKey::prefix() { return KeyWriter(kReferrer); }
std::string ReferrerKey::prefix(RepositoryId repository) { return KeyWriter(kReferrer).u64(repository); }
std::string ReferrerKey::prefix(RepositoryId repository, std::string_view subject) {
  return KeyWriter(kReferrer).u64(repository).text(subject);
}
Result<ReferrerKey> ReferrerKey::decode(std::string_view key) {
  KeyReader in(key, kReferrer);
  ReferrerKey out;
  out.repository = in.u64();
  out.subject = in.text();
  out.sequence = in.u64();
  out.digest = in.digest();
  return in.end(std::move(out));
}

// ---- tags ----

std::string TagKey::encode() const { return KeyWriter(kTag).u64(repository).last(tag); }
std::string TagKey::prefix() { return KeyWriter(kTag); }
std::string TagKey::prefix(RepositoryId repository) { return KeyWriter(kTag).u64(repository); }
Result<TagKey> TagKey::decode(std::string_view key) {
  KeyReader in(key, kTag);
  TagKey out;
  out.repository = in.u64();
  out.tag = in.last();
  return in.end(std::move(out));
}

std::string TagOfKey::encode() const {
  return KeyWriter(kTagOf).u64(repository).digest(digest).u64(generation).last(tag);
}
std::string TagOfKey::prefix() { return KeyWriter(kTagOf); }
std::string TagOfKey::prefix(RepositoryId repository) { return KeyWriter(kTagOf).u64(repository); }
std::string TagOfKey::prefix(RepositoryId repository, const oci::Digest& digest) {
  return KeyWriter(kTagOf).u64(repository).digest(digest);
}
Result<TagOfKey> TagOfKey::decode(std::string_view key) {
  KeyReader in(key, kTagOf);
  TagOfKey out;
  out.repository = in.u64();
  out.digest = in.digest();
  out.generation = in.u64();
  out.tag = in.last();
  return in.end(std::move(out));
}

std::string TagIndexKey::encode() const {
  return KeyWriter(kTagIndex).u64(repository).kind(order).last(sort_key).last(tag);
}
std::string TagIndexKey::prefix() { return KeyWriter(kTagIndex); }
std::string TagIndexKey::prefix(RepositoryId repository) { return KeyWriter(kTagIndex).u64(repository); }
std::string TagIndexKey::prefix(RepositoryId repository, TagOrder order) {
  return KeyWriter(kTagIndex).u64(repository).kind(order);
}
Result<TagIndexKey> TagIndexKey::decode(std::string_view key) {
  KeyReader in(key, kTagIndex);
  TagIndexKey out;
  out.repository = in.u64();
  out.order = in.kind(TagOrder::size);
  const std::size_t sort_key_size = out.order == TagOrder::semver ? semver_key_size(in.rest()) : 8;
  if (sort_key_size == 0) in.fail();
  out.sort_key = in.bytes(sort_key_size);
  out.tag = in.last();
  return in.end(std::move(out));
}

std::string LeftoverKey::encode() const { return KeyWriter(kLeftover).u64(repository).digest(digest); }
std::string LeftoverKey::prefix() { return KeyWriter(kLeftover); }
std::string LeftoverKey::prefix(RepositoryId repository) { return KeyWriter(kLeftover).u64(repository); }
Result<LeftoverKey> LeftoverKey::decode(std::string_view key) {
  KeyReader in(key, kLeftover);
  LeftoverKey out;
  out.repository = in.u64();
  out.digest = in.digest();
  return in.end(out);
}

std::string TagLogKey::encode() const { return KeyWriter(kTagLog).u64(repository).text(tag).u64(version); }
std::string TagLogKey::prefix() { return KeyWriter(kTagLog); }
std::string TagLogKey::prefix(RepositoryId repository) { return KeyWriter(kTagLog).u64(repository); }
std::string TagLogKey::prefix(RepositoryId repository, std::string_view tag) {
  return KeyWriter(kTagLog).u64(repository).text(tag);
}
Result<TagLogKey> TagLogKey::decode(std::string_view key) {
  KeyReader in(key, kTagLog);
  TagLogKey out;
  out.repository = in.u64();
  out.tag = in.text();
  out.version = in.u64();
  return in.end(std::move(out));
}

// ---- queues ----

std::string DueKey::encode() const {
  KeyWriter out(kDue);
  out.uptime(due).kind(kind).u64(repository);
  if (digest) out.digest(*digest);
  return out.done();
}
std::string DueKey::prefix() { return KeyWriter(kDue); }
Result<DueKey> DueKey::decode(std::string_view key) {
  KeyReader in(key, kDue);
  DueKey out;
  out.due = in.uptime();
  out.kind = in.kind(DueKind::tags);
  out.repository = in.u64();
  if (out.kind != DueKind::repository) out.digest = in.digest();
  return in.end(out);
}

std::string ReapKey::encode() const { return KeyWriter(kReap).uptime(due).last(file); }
std::string ReapKey::prefix() { return KeyWriter(kReap); }
Result<ReapKey> ReapKey::decode(std::string_view key) {
  KeyReader in(key, kReap);
  ReapKey out;
  out.due = in.uptime();
  out.file = in.last();
  return in.end(std::move(out));
}

// ---- usage ----

std::string UsageKey::encode() const { return KeyWriter(kUsage).u64(repository); }
std::string UsageKey::prefix() { return KeyWriter(kUsage); }
Result<UsageKey> UsageKey::decode(std::string_view key) {
  KeyReader in(key, kUsage);
  UsageKey out;
  out.repository = in.u64();
  return in.end(out);
}

std::string ProjectUsageKey::encode() const { return KeyWriter(kProjectUsage).u64(name_space).last(project); }
std::string ProjectUsageKey::prefix() { return KeyWriter(kProjectUsage); }
Result<ProjectUsageKey> ProjectUsageKey::decode(std::string_view key) {
  KeyReader in(key, kProjectUsage);
  ProjectUsageKey out;
  out.name_space = in.u64();
  out.project = in.last();
  return in.end(std::move(out));
}

std::string PullsKey::encode() const { return KeyWriter(kPulls).u64(repository).last(reference); }
std::string PullsKey::prefix() { return KeyWriter(kPulls); }
std::string PullsKey::prefix(RepositoryId repository) { return KeyWriter(kPulls).u64(repository); }
Result<PullsKey> PullsKey::decode(std::string_view key) {
  KeyReader in(key, kPulls);
  PullsKey out;
  out.repository = in.u64();
  out.reference = in.last();
  return in.end(std::move(out));
}

}  // namespace berth::registry
