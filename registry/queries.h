// What readers ask of one consistent state. Pure functions: no clock, no cache, no lock. Each may also answer io_error,
// corrupt, and on a cache-only reader would_block: the caller then asks again on the disk pool.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "oci/digest.h"
#include "oci/name.h"
#include "registry/actor.h"
#include "registry/keys.h"
#include "registry/manifest_type.h"
#include "registry/records.h"
#include "registry/values.h"
#include "storage/blobs/blob_store.h"
#include "storage/kv/kv.h"

namespace berth::registry {

/// Empty when there is no such repository (or it was deleted).
Result<std::optional<RepositoryId>> find_repository(const kv::Reader& reader, NamespaceId name_space,
                                                    const oci::RepositoryName& name);

// ---- blobs ----

struct BlobLink {
  RepositoryId repository = 0;
  std::uint64_t size = 0;  ///< bytes
  Uptime due{0};           ///< see LinkRecord::due and wants_extension (commands/extend_link.h)
};
/// A blob that readers of the repository see. Errors: blob_unknown (also for an unknown repository, a hidden link and a
/// quarantined blob).
Result<BlobLink> find_link(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                           const oci::Digest& digest);

struct ResolvedBlob {
  BlobLink link;
  std::variant<std::string, storage::Place> content;  ///< the bytes of an inline blob, or where its file is
};
/// find_link and where the bytes are. Errors: blob_unknown, corrupt (the index names a place or bytes that are not
/// there).
Result<ResolvedBlob> resolve_blob(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                                  const oci::Digest& digest);

struct StoredBlob {
  std::uint64_t size = 0;
  bool quarantined = false;
  std::optional<storage::Place> place;  ///< empty: inline
};
/// The copy of a blob, whoever holds it: for deciding what a push does with its bytes, never for answering a client.
Result<std::optional<StoredBlob>> find_stored_blob(const kv::Reader& reader, const oci::Digest& digest);

/// Does the index name this file, as a blob's copy? False: garbage of a crash, or waiting in the reap queue.
Result<bool> is_place_in_use(const kv::Reader& reader, const storage::Place& place);

// ---- manifests ----

/// Errors: manifest_unknown (also for an unknown repository).
Result<ResolvedManifest> find_manifest(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                                       const oci::Reference& reference);

/// The tag as readers see it: one that a deleted manifest left behind is absent.
Result<std::optional<TagRecord>> find_tag(const kv::Reader& reader, RepositoryId repository, const std::string& tag);
/// Does a tag's record still count, or was it left behind by a manifest that was deleted?
Result<bool> tag_counts(const kv::Reader& reader, RepositoryId repository, const TagRecord& tag);

// ---- lists: each costs its page ----

/// Tags after `last` in byte order. Errors: repository_unknown.
Result<TagPage> list_tags(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                          std::size_t n, std::string_view last);

/// Names of repositories with a live manifest after `last` in byte order, those that are visible. Looks only at the
/// ranges of names in which the visibility's patterns can match, up to the end of the page.
Result<RepositoryPage> list_repositories(const kv::Reader& reader, NamespaceId name_space, const Visibility& visibility,
                                         std::size_t n, std::string_view last);

/// How much a list of referrers reads before its page ends, which may then be empty and still have a cursor.
inline constexpr std::size_t kReferrersScannedMax = 10'000;
inline constexpr std::size_t kReferrersScannedBytesMax = 16 << 20;
/// And on an I/O thread, where it gives up then: annotations make entries as large as manifests.
inline constexpr std::size_t kReferrersGlancedMax = 512;
inline constexpr std::size_t kReferrersGlancedBytesMax = 256 << 10;
enum class Patience : std::uint8_t {
  page,
  glance,  ///< would_block as well when it is more than a glance
};
/// As Registry::list_referrers.
Result<ReferrerPage> list_referrers(const kv::Reader& reader, NamespaceId name_space, const oci::RepositoryName& name,
                                    std::string_view subject, const std::vector<std::string>& types, std::size_t n,
                                    std::size_t bytes_max, std::string_view cursor,
                                    Patience patience = Patience::page);

// ---- queues ----

/// What is due at `uptime`, oldest first, at most `limit`. For CollectDue.
Result<std::vector<DueKey>> due_entries(const kv::Reader& reader, Uptime uptime, std::size_t limit);
/// Files to be removed at `uptime`, oldest first, at most `limit`. For ReapDone.
Result<std::vector<ReapKey>> reap_entries(const kv::Reader& reader, Uptime uptime, std::size_t limit);

// ---- figures ----

/// Zeros for a repository that holds nothing.
Result<UsageRecord> repository_usage(const kv::Reader& reader, RepositoryId repository);
Result<ProjectUsageRecord> project_usage(const kv::Reader& reader, NamespaceId name_space, std::string_view project);

}  // namespace berth::registry
