// The values of the index. Together with keys.h the only place that knows bytes on disk.
//
// A value is a version byte (1) and then fields in ascending order of their numbers, each as varint number, varint
// length, payload. A field that holds its default (0, empty, absent) is not written. A reader skips fields above the
// ones it knows and keeps their bytes in `unknown`, so that an older minor version that rewrites a record loses
// nothing; new fields therefore always get numbers above all old ones. Decoding is as strict as parsing: whatever
// encode() would not have written is `corrupt`.
//
// Each record lists its fields once, in records.cpp; that one list both writes and reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "registry/actor.h"
#include "registry/keys.h"
#include "storage/blobs/blob_store.h"

namespace berth::registry {

/// The data format this berth writes. A newer major is refused; a newer minor only adds fields and records.
inline constexpr std::uint64_t kFormatMajor = 1;
inline constexpr std::uint64_t kFormatMinor = 1;  ///< 1 added the family `identities`

struct FormatRecord {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  std::string unknown = {};
  bool operator==(const FormatRecord&) const = default;
};

struct CounterRecord {
  std::uint64_t value = 0;
  std::string unknown = {};
  bool operator==(const CounterRecord&) const = default;
};

struct UptimeRecord {
  Uptime uptime{0};
  std::string unknown = {};
  bool operator==(const UptimeRecord&) const = default;
};

struct LogStartRecord {
  std::uint64_t number = 0;
  std::string unknown = {};
  bool operator==(const LogStartRecord&) const = default;
};

struct RepositoryBinding {
  RepositoryId repository = 0;
  std::string unknown = {};
  bool operator==(const RepositoryBinding&) const = default;
};

enum class RepositoryState : std::uint8_t {
  live = 1,
  deleted = 2,  ///< its name is free; its content goes when `due` has come
};

struct RepositoryRecord {
  NamespaceId name_space = kLocalNamespace;
  std::string name;
  RepositoryState state = RepositoryState::live;
  WallTime created_at{};
  ActorId created_by = kSystemActor;
  WallTime deleted_at{};
  ActorId deleted_by = kSystemActor;
  Uptime due{0};  ///< when deleted: purged from then on
  std::string unknown = {};
  bool operator==(const RepositoryRecord&) const = default;
};

enum class ObjectState : std::uint8_t {
  live = 1,
  quarantined = 2,  ///< its bytes failed a check: absent to readers until the next push replaces them
};

struct ObjectRecord {
  std::uint64_t size = 0;  ///< bytes
  ObjectState state = ObjectState::live;
  std::uint64_t holders = 0;     ///< repositories that hold it; never 0 on disk
  RepositoryId holders_xor = 0;  ///< xor of their ids: with one holder left, which one it is
  std::string media_type = {};   ///< of a manifest: fixed with its first push
  std::string unknown = {};
  bool operator==(const ObjectRecord&) const = default;
};

struct PlaceRecord {
  std::string file = {};  ///< storage::Place::name; empty: inline, in the family `bytes`
  std::string unknown = {};
  bool is_inline() const { return file.empty(); }
  bool operator==(const PlaceRecord&) const = default;
};

enum class LinkState : std::uint8_t {
  visible = 1,
  hidden = 2,  ///< deleted, but a manifest of the repository needs the bytes; the next push or mount shows it again
};

struct LinkRecord {
  LinkState state = LinkState::visible;
  std::uint64_t size = 0;  ///< bytes of the blob
  WallTime linked_at{};
  ActorId linked_by = kSystemActor;
  /// When to look whether something refers to it; a due entry stands at exactly this time. 0: a manifest refers to it.
  /// It may also be set while one does; a link without any edge always has it set.
  Uptime due{0};
  std::string unknown = {};
  bool operator==(const LinkRecord&) const = default;
};

struct EmptyRecord {
  std::string unknown = {};
  bool operator==(const EmptyRecord&) const = default;
};

enum class ManifestState : std::uint8_t {
  live = 1,
  deleted = 2,  ///< absent to readers; edges and bytes stay until `due`, and a push brings it back
};

struct ManifestRecord {
  ManifestState state = ManifestState::live;
  oci::ManifestKind kind = oci::ManifestKind::image;
  std::string media_type;
  std::uint64_t size = 0;          ///< bytes of the manifest itself
  std::uint64_t content_size = 0;  ///< bytes with all it refers to, as its descriptors say; saturates
  std::string artifact_type = {};
  std::string subject = {};             ///< digest text; empty: none
  std::uint64_t referrer_sequence = 0;  ///< of its entry under `subject`
  std::string platforms = {};
  WallTime pushed_at{};
  ActorId pushed_by = kSystemActor;
  std::uint64_t generation = 0;  ///< how often it was deleted; tags of an older generation do not count
  WallTime deleted_at{};
  ActorId deleted_by = kSystemActor;
  Uptime due{0};  ///< when deleted: dropped from then on
  std::string unknown = {};
  bool operator==(const ManifestRecord&) const = default;
};

struct EdgeRecord {
  oci::EdgeKind kind = oci::EdgeKind::layer;
  std::string unknown = {};
  bool operator==(const EdgeRecord&) const = default;
};

struct ReferrerRecord {
  std::string artifact_type = {};
  std::string descriptor;  ///< compact JSON
  std::string unknown = {};
  bool operator==(const ReferrerRecord&) const = default;
};

struct TagRecord {
  oci::Digest digest;
  std::uint64_t generation = 0;  ///< of the manifest when the tag was set
  std::uint64_t version = 0;     ///< number of its entry in the tag log; goes on after a delete
  WallTime updated_at{};
  ActorId updated_by = kSystemActor;
  std::uint64_t size = 0;  ///< content_size of the manifest: what it is filed under by size
  std::string unknown = {};
  bool operator==(const TagRecord&) const = default;
};

/// A deleted manifest had more tags than one command removes: those of a generation below this one are gone to every
/// reader and are swept in steps. The record goes with the last of them.
struct LeftoverRecord {
  std::uint64_t generation = 0;
  WallTime deleted_at{};
  ActorId deleted_by = kSystemActor;
  std::string unknown = {};
  bool operator==(const LeftoverRecord&) const = default;
};

enum class TagChange : std::uint8_t {
  push = 1,
  delete_tag = 2,
  delete_manifest = 3,  ///< went with the manifest it pointed at
};

struct TagLogRecord {
  std::optional<oci::Digest> from = {};
  std::optional<oci::Digest> to = {};
  ActorId actor = kSystemActor;
  WallTime when{};
  TagChange reason = TagChange::push;
  std::string unknown = {};
  bool operator==(const TagLogRecord&) const = default;
};

struct UsageRecord {
  std::uint64_t logical_bytes = 0;  ///< visible links and live manifests
  std::uint64_t unique_bytes = 0;   ///< objects that no other repository holds: what purging this one would free
  std::uint64_t manifests = 0;      ///< live ones
  std::uint64_t tags = 0;           ///< tag records, leftovers included until they are swept
  std::uint64_t held = 0;           ///< objects held: links and manifests, hidden and deleted ones too
  std::string unknown = {};
  bool operator==(const UsageRecord&) const = default;
};

/// Sums over the live repositories of a project.
struct ProjectUsageRecord {
  std::uint64_t logical_bytes = 0;
  std::uint64_t manifests = 0;
  std::uint64_t tags = 0;
  std::string unknown = {};
  bool operator==(const ProjectUsageRecord&) const = default;
};

struct PullsRecord {
  std::uint64_t pulls = 0;
  WallTime last_pull{};
  std::string unknown = {};
  bool operator==(const PullsRecord&) const = default;
};

/// Which command made a change. Reaches the change log: never renumber.
enum class CommandKind : std::uint8_t {
  commit_blob = 1,
  mount_blob = 2,
  extend_link = 3,
  put_manifest = 4,
  delete_tag = 5,
  delete_manifest = 6,
  delete_blob = 7,
  delete_repository = 8,
  collect_due = 9,
  reap_done = 10,
  fold_pulls = 11,
  persist_uptime = 12,
  trim_change_log = 13,
  init_format = 14,
  quarantine = 15,
  create_user = 16,
  update_user = 17,
  delete_user = 18,
  create_group = 19,
  update_group = 20,
  delete_group = 21,
  create_robot = 22,
  update_robot = 23,
  delete_robot = 24,
  add_credential = 25,
  revoke_credentials = 26,
  create_role = 27,
  update_role = 28,
  delete_role = 29,
  create_grant = 30,
  update_grant = 31,
  delete_grant = 32,
  add_signing_key = 33,
  activate_signing_key = 34,
  remove_signing_key = 35,
  name_actor = 36,
  erase_actor = 37,
  fold_uses = 38,
  sweep_identities = 39,
  use_setup_secret = 40,
};

/// One entry of the change log: a command's replicated writes, in full.
struct ChangeRecord {
  struct Write {
    kv::Family family = 0;
    std::string key;
    std::optional<std::string> value;  ///< empty: erased
    bool operator==(const Write&) const = default;
  };
  CommandKind command = CommandKind::commit_blob;
  ActorId actor = kSystemActor;
  WallTime when{};
  std::string request_id = {};
  std::vector<Write> writes;  ///< in key order within a family, each key once
  std::string unknown = {};
  bool operator==(const ChangeRecord&) const = default;
};

/// The bytes of any record above.
template <class Record>
std::string encode(const Record& record);
/// The inverse. Errors: corrupt.
template <class Record>
Result<Record> decode(std::string_view bytes);

/// ReferrerRecord::artifact_type, within the bytes of a record of which nothing else is looked at. Errors: corrupt.
Result<std::string_view> artifact_type_of(std::string_view bytes);

/// What a tag is filed under. Empty when the tag has no place in that order (semver: it is no semantic version).
/// Semver: an optional leading `v`, then semver.org 2.0.0, with `_` for the `+` that a tag cannot hold.
std::string tag_sort_key(TagOrder order, std::string_view tag, const TagRecord& record);

}  // namespace berth::registry
