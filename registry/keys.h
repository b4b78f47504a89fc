// Where everything lies in the index: the families of the store, and one type per kind of record that knows its own key
// bytes. Nothing else builds or reads a key. docs/storage-format.md draws the same picture with the values.
//
//   family      prefix  key                                                value (records.h)
//   meta        01      -                                                  FormatRecord
//               02      counter u8                                         CounterRecord
//               03      -                                                  UptimeRecord           (this node only)
//               04      -                                                  LogStartRecord         (this node only)
//   names       01      namespace u64, name                                RepositoryBinding
//               02      repository u64                                     RepositoryRecord
//               03      namespace u64, name                                RepositoryBinding      (the catalog)
//   objects     01      kind u8, digest                                    ObjectRecord
//               02      kind u8, digest                                    PlaceRecord            (this node only)
//   bytes       kind u8, digest                                            the content itself     (named by its digest)
//   links       01      repository u64, digest                             LinkRecord
//               02      kind u8, digest, repository u64                    EmptyRecord            (holders)
//   manifests   01      repository u64, digest                             ManifestRecord
//               02      child digest, repository u64, parent digest        EdgeRecord
//               03      repository u64, parent digest, child digest        EdgeRecord
//               04      repository u64, subject 00, sequence u64, digest   ReferrerRecord
//   tags        01      repository u64, tag                                TagRecord
//               02      repository u64, digest, generation u64, tag        EmptyRecord
//               03      repository u64, order u8, sort key, tag            EmptyRecord
//               04      repository u64, digest                             LeftoverRecord
//   tag_log     01      repository u64, tag 00, version u64                TagLogRecord
//   queues      01      due u64, kind u8, repository u64 [, digest]        EmptyRecord            (this node only)
//               02      due u64, file name                                 EmptyRecord            (this node only)
//   log         number u64                                                 ChangeRecord
//   usage       01      repository u64                                     UsageRecord
//               02      namespace u64, project                             ProjectUsageRecord
//               03      repository u64, reference                          PullsRecord
//   identities  see identities/keys.h, which has one kind of entry in `queues` (03) as well
//
// u64 is big-endian; a digest is its algorithm byte and its 32 or 64 raw bytes; a string that is not last ends in 00.
// So the order of keys is the order of their values, field by field. All numbers here reach the disk: never renumber.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "oci/digest.h"
#include "storage/kv/kv.h"

namespace berth::registry {

/// Which world of names a repository belongs to. 0 is local; a mirror's upstream has one of its own.
using NamespaceId = std::uint64_t;
inline constexpr NamespaceId kLocalNamespace = 0;

/// Given once, never again: a repository that is deleted and made anew has another one. Starts at 1.
using RepositoryId = std::uint64_t;

/// The persisted up-time clock: milliseconds that berth has run on this data. Neither a jump of the wall clock nor a
/// day of downtime moves it. In records 0 means "never".
using Uptime = std::chrono::milliseconds;

namespace family {
inline constexpr kv::Family meta = 0, names = 1, objects = 2, bytes = 3, links = 4, manifests = 5, tags = 6,
                            tag_log = 7, queues = 8, log = 9, usage = 10, identities = 11;
inline constexpr std::size_t count = 12;
}  // namespace family

/// The families in their order, as a store is opened with them.
kv::Schema schema();

/// What the answer cache files an answer under and what a command touches when that answer changed.
/// `reference` is a tag or a digest text. An EMPTY reference stands for every reference of the repository: whoever
/// forgets on touch must then drop all keys that start with this one.
std::string cache_key(NamespaceId name_space, std::string_view repository, std::string_view reference);

/// A blob and a manifest of one digest are two objects: the same bytes may be pushed as both, and deleting one leaves
/// the other.
enum class ObjectKind : std::uint8_t { blob = 1, manifest = 2 };

enum class Counter : std::uint8_t {
  repositories = 1,  ///< the last repository id that was given
  referrers = 2,     ///< the last sequence number of a referrer
  identities = 3,    ///< the last number that a change of an identity was given; see identities/commands/change.h
};

/// What a tag can be listed by, beside its name.
enum class TagOrder : std::uint8_t { time = 1, semver = 2, size = 3 };

/// What falls due.
enum class DueKind : std::uint8_t {
  link = 1,        ///< collect a link that nothing refers to
  manifest = 2,    ///< drop a deleted manifest for good
  repository = 3,  ///< purge a deleted repository
  tags = 4,        ///< sweep the tags that a deleted manifest left behind
};

struct FormatRecord;
struct CounterRecord;
struct UptimeRecord;
struct LogStartRecord;
struct RepositoryBinding;
struct RepositoryRecord;
struct ObjectRecord;
struct PlaceRecord;
struct LinkRecord;
struct ManifestRecord;
struct EdgeRecord;
struct ReferrerRecord;
struct TagRecord;
struct LeftoverRecord;
struct TagLogRecord;
struct EmptyRecord;
struct UsageRecord;
struct ProjectUsageRecord;
struct PullsRecord;

// Every key type below has the same shape:
//   Record        what it leads to
//   kFamily       where it lies
//   kReplicated   whether a change of it belongs into the change log (false: it is about this node only)
//   encode()      its bytes
//   decode(bytes) the inverse; `corrupt` on anything that encode() would not write
//   prefix(…)     what all keys that share the leading fields start with, for scans

struct FormatKey {
  using Record = FormatRecord;
  static constexpr kv::Family kFamily = family::meta;
  static constexpr bool kReplicated = false;
  std::string encode() const;
};

struct CounterKey {
  using Record = CounterRecord;
  static constexpr kv::Family kFamily = family::meta;
  static constexpr bool kReplicated = true;
  Counter counter = Counter::repositories;
  std::string encode() const;
};

struct UptimeKey {
  using Record = UptimeRecord;
  static constexpr kv::Family kFamily = family::meta;
  static constexpr bool kReplicated = false;
  std::string encode() const;
};

/// The number of the oldest entry that the change log still has.
struct LogStartKey {
  using Record = LogStartRecord;
  static constexpr kv::Family kFamily = family::meta;
  static constexpr bool kReplicated = false;
  std::string encode() const;
};

/// Name → id.
struct RepositoryNameKey {
  using Record = RepositoryBinding;
  static constexpr kv::Family kFamily = family::names;
  static constexpr bool kReplicated = true;
  NamespaceId name_space = kLocalNamespace;
  std::string name;
  std::string encode() const;
  static Result<RepositoryNameKey> decode(std::string_view key);
  static std::string prefix(NamespaceId name_space);
  auto operator<=>(const RepositoryNameKey&) const = default;
};

/// Id → name and state.
struct RepositoryKey {
  using Record = RepositoryRecord;
  static constexpr kv::Family kFamily = family::names;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  std::string encode() const;
  static Result<RepositoryKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const RepositoryKey&) const = default;
};

/// Repositories that hold at least one manifest that is not deleted.
struct CatalogKey {
  using Record = RepositoryBinding;
  static constexpr kv::Family kFamily = family::names;
  static constexpr bool kReplicated = true;
  NamespaceId name_space = kLocalNamespace;
  std::string name;
  std::string encode() const;
  static Result<CatalogKey> decode(std::string_view key);
  static std::string prefix(NamespaceId name_space);
  auto operator<=>(const CatalogKey&) const = default;
};

struct ObjectKey {
  using Record = ObjectRecord;
  static constexpr kv::Family kFamily = family::objects;
  static constexpr bool kReplicated = true;
  ObjectKind kind = ObjectKind::blob;
  oci::Digest digest;
  std::string encode() const;
  static Result<ObjectKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const ObjectKey&) const = default;
};

/// Where this node has the bytes of a blob. Manifests have none: their bytes are always in the family `bytes`.
struct PlaceKey {
  using Record = PlaceRecord;
  static constexpr kv::Family kFamily = family::objects;
  static constexpr bool kReplicated = false;
  oci::Digest digest;
  std::string encode() const;
  static Result<PlaceKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const PlaceKey&) const = default;
};

/// Content of manifests and of inline blobs; the value is the bytes and nothing else.
struct ContentKey {
  static constexpr kv::Family kFamily = family::bytes;
  static constexpr bool kReplicated = false;
  ObjectKind kind = ObjectKind::blob;
  oci::Digest digest;
  std::string encode() const;
  static Result<ContentKey> decode(std::string_view key);
  auto operator<=>(const ContentKey&) const = default;
};

struct LinkKey {
  using Record = LinkRecord;
  static constexpr kv::Family kFamily = family::links;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  oci::Digest digest;
  std::string encode() const;
  static Result<LinkKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  auto operator<=>(const LinkKey&) const = default;
};

/// Which repositories hold an object: for mount and "who uses this layer".
struct HolderKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::links;
  static constexpr bool kReplicated = true;
  ObjectKind kind = ObjectKind::blob;
  oci::Digest digest;
  RepositoryId repository = 0;
  std::string encode() const;
  static Result<HolderKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(ObjectKind kind, const oci::Digest& digest);
  auto operator<=>(const HolderKey&) const = default;
};

struct ManifestKey {
  using Record = ManifestRecord;
  static constexpr kv::Family kFamily = family::manifests;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  oci::Digest digest;
  std::string encode() const;
  static Result<ManifestKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  auto operator<=>(const ManifestKey&) const = default;
};

/// The truth about references: "why is this kept" is one seek.
struct EdgeKey {
  using Record = EdgeRecord;
  static constexpr kv::Family kFamily = family::manifests;
  static constexpr bool kReplicated = true;
  oci::Digest child;
  RepositoryId repository = 0;
  oci::Digest parent;
  std::string encode() const;
  static Result<EdgeKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(const oci::Digest& child, RepositoryId repository);
  auto operator<=>(const EdgeKey&) const = default;
};

/// The same edges by parent, so that a parent's can be dropped in bounded steps.
struct ChildKey {
  using Record = EdgeRecord;
  static constexpr kv::Family kFamily = family::manifests;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  oci::Digest parent;
  oci::Digest child;
  std::string encode() const;
  static Result<ChildKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  static std::string prefix(RepositoryId repository, const oci::Digest& parent);
  auto operator<=>(const ChildKey&) const = default;
};

/// In order of arrival. The manifest's record knows the sequence, so an entry is found by digest as well.
struct ReferrerKey {
  using Record = ReferrerRecord;
  static constexpr kv::Family kFamily = family::manifests;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  std::string subject;  ///< digest text of any algorithm
  std::uint64_t sequence = 0;
  oci::Digest digest;
  std::string encode() const;
  static Result<ReferrerKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  static std::string prefix(RepositoryId repository, std::string_view subject);
  auto operator<=>(const ReferrerKey&) const = default;
};

struct TagKey {
  using Record = TagRecord;
  static constexpr kv::Family kFamily = family::tags;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  std::string tag;
  std::string encode() const;
  static Result<TagKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  auto operator<=>(const TagKey&) const = default;
};

/// Which tags point at a manifest. `generation` is the manifest's when the tag was set; see LeftoverRecord.
struct TagOfKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::tags;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  oci::Digest digest;
  std::uint64_t generation = 0;
  std::string tag;
  std::string encode() const;
  static Result<TagOfKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  static std::string prefix(RepositoryId repository, const oci::Digest& digest);
  auto operator<=>(const TagOfKey&) const = default;
};

/// Tags by time, semantic version or size. The sort key is made by tag_sort_key.
struct TagIndexKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::tags;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  TagOrder order = TagOrder::time;
  std::string sort_key;
  std::string tag;
  std::string encode() const;
  static Result<TagIndexKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  static std::string prefix(RepositoryId repository, TagOrder order);
  auto operator<=>(const TagIndexKey&) const = default;
};

struct LeftoverKey {
  using Record = LeftoverRecord;
  static constexpr kv::Family kFamily = family::tags;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  oci::Digest digest;
  std::string encode() const;
  static Result<LeftoverKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  auto operator<=>(const LeftoverKey&) const = default;
};

struct TagLogKey {
  using Record = TagLogRecord;
  static constexpr kv::Family kFamily = family::tag_log;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  std::string tag;
  std::uint64_t version = 0;
  std::string encode() const;
  static Result<TagLogKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  static std::string prefix(RepositoryId repository, std::string_view tag);
  auto operator<=>(const TagLogKey&) const = default;
};

struct DueKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::queues;
  static constexpr bool kReplicated = false;
  Uptime due{0};
  DueKind kind = DueKind::link;
  RepositoryId repository = 0;
  std::optional<oci::Digest> digest = {};  ///< set for every kind but `repository`
  std::string encode() const;
  static Result<DueKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const DueKey&) const = default;
};

/// A file to be removed from the blob store, not before `due`.
struct ReapKey {
  using Record = EmptyRecord;
  static constexpr kv::Family kFamily = family::queues;
  static constexpr bool kReplicated = false;
  Uptime due{0};
  std::string file;  ///< storage::Place::name
  std::string encode() const;
  static Result<ReapKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const ReapKey&) const = default;
};

struct UsageKey {
  using Record = UsageRecord;
  static constexpr kv::Family kFamily = family::usage;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  std::string encode() const;
  static Result<UsageKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const UsageKey&) const = default;
};

/// A project is the first component of a repository's name.
struct ProjectUsageKey {
  using Record = ProjectUsageRecord;
  static constexpr kv::Family kFamily = family::usage;
  static constexpr bool kReplicated = true;
  NamespaceId name_space = kLocalNamespace;
  std::string project;
  std::string encode() const;
  static Result<ProjectUsageKey> decode(std::string_view key);
  static std::string prefix();
  auto operator<=>(const ProjectUsageKey&) const = default;
};

struct PullsKey {
  using Record = PullsRecord;
  static constexpr kv::Family kFamily = family::usage;
  static constexpr bool kReplicated = true;
  RepositoryId repository = 0;
  std::string reference;  ///< a tag or a digest text
  std::string encode() const;
  static Result<PullsKey> decode(std::string_view key);
  static std::string prefix();
  static std::string prefix(RepositoryId repository);
  auto operator<=>(const PullsKey&) const = default;
};

/// The project of a repository: `team` of `team/app`.
std::string_view project_of(std::string_view repository_name);

}  // namespace berth::registry
