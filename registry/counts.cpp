#include "registry/counts.h"

#include <array>

#include "base/metrics.h"
#include "registry/keys.h"

namespace berth::registry::counts {
namespace {

template <const auto& kNames, class Enum>
std::string_view text(Enum value) {
  return kNames[static_cast<std::size_t>(value)];
}

constexpr std::array<std::string_view, kManifestTypes> kTypes = {"image", "index", "helm", "artifact", "unknown"};
constexpr std::array<std::string_view, kOutcomes> kOutcomeNames = {"ok", "client_error", "denied", "server_error"};
constexpr std::array<std::string_view, 5> kUploadEnds = {"ok", "aborted", "digest_mismatch", "expired", "error"};
constexpr std::array<std::string_view, 3> kMountEnds = {"ok", "miss", "error"};
constexpr std::array<std::string_view, 2> kCaches = {"manifest", "blob"};
constexpr std::array<std::string_view, 4> kCollected = {"blob", "manifest", "repository", "upload"};
constexpr std::array<std::string_view, 2> kObjectKinds = {"blob", "manifest"};
constexpr std::array<std::string_view, 2> kHitMiss = {"hit", "miss"};
constexpr std::array<std::string_view, 2> kRuns = {"ok", "error"};

enum class Looked : std::uint8_t { hit, miss };
enum class Run : std::uint8_t { ok, error };
enum class Kept : std::uint8_t { blob, manifest };

using TransferGrid = metrics::EnumGrid<metrics::Counter, ManifestType, kManifestTypes, Outcome, kOutcomes>;
using Counters = metrics::Family<metrics::Counter>;

const TransferGrid pushes(Counters("pushes_total", "Pushes of manifests, by what was pushed and how it ended.",
                                   {"type", "result"}),
                          text<kTypes>, text<kOutcomeNames>);
const TransferGrid pulls(Counters("pulls_total", "Pulls of manifests, by what was pulled and how it ended.",
                                  {"type", "result"}),
                         text<kTypes>, text<kOutcomeNames>);
const metrics::EnumFamily<metrics::Counter, UploadEnd, kUploadEnds.size()> uploads(
    "blob_uploads_total", "Upload sessions that ended, by how.", "result", text<kUploadEnds>);
const metrics::EnumFamily<metrics::Counter, MountEnd, kMountEnds.size()> mounts(
    "blob_mounts_total", "Requests to mount a blob of another repository, by what came of them.", "result",
    text<kMountEnds>);
metrics::Counter& bytes_saved =
    Counters("blob_dedup_bytes_saved_total",
             "Bytes of blobs that were pushed or mounted though the store had them already.")
        .with();
const metrics::EnumGrid<metrics::Counter, Cache, kCaches.size(), Looked, kHitMiss.size()> lookups(
    Counters("cache_requests_total", "Look-ups in berth's own caches.", {"cache", "result"}), text<kCaches>,
    text<kHitMiss>);

/// A pass without work is a few reads; one after a large clean-up is many commits.
constexpr std::array kPassBuckets = {0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0};
const metrics::EnumFamily<metrics::Counter, Run, kRuns.size()> runs(
    "gc_runs_total", "Passes of the collector; one that a stop cut off is none.", "result", text<kRuns>);
metrics::Histogram& run_seconds =
    metrics::Family<metrics::Histogram>("gc_seconds", "How long passes of the collector took.", kPassBuckets).with();
metrics::Gauge& last_success =
    metrics::Family<metrics::Gauge>("gc_last_success_timestamp_seconds",
                                    "When a pass of the collector last did all there was to do; 0: not yet.")
        .with();
const metrics::EnumFamily<metrics::Counter, Collected, kCollected.size()> dropped(
    "gc_deleted_total", "What collection dropped for good.", "kind", text<kCollected>);
metrics::Counter& bytes_freed =
    Counters("gc_freed_bytes_total",
             "Bytes that collection gave back: files it removed, and small content it dropped from the index.")
        .with();
const metrics::EnumFamily<metrics::Counter, Kept, kObjectKinds.size()> corrupted(
    "scrub_corrupt_blobs_total", "Stored content that failed a check and is kept from readers until it is pushed again.",
    "kind", text<kObjectKinds>);

}  // namespace

Outcome outcome_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::unauthorized:
    case ErrorCode::denied:
    case ErrorCode::host_refused: return Outcome::denied;
    case ErrorCode::storage_full:
    case ErrorCode::unavailable:
    case ErrorCode::io_error:
    case ErrorCode::corrupt:
    case ErrorCode::would_block:
    case ErrorCode::internal: return Outcome::server_error;
    default: return Outcome::client_error;
  }
}

void push(ManifestType type, Outcome outcome) { pushes(type, outcome).add(); }
void pull(ManifestType type, Outcome outcome) { pulls(type, outcome).add(); }
void upload(UploadEnd end) { uploads[end].add(); }
void mount(MountEnd end) { mounts[end].add(); }
void saved(std::uint64_t bytes) { bytes_saved.add(bytes); }
void looked_up(Cache cache, bool hit) { lookups(cache, hit ? Looked::hit : Looked::miss).add(); }
void collected(Collected kind, std::uint64_t number) { dropped[kind].add(number); }
void freed(std::uint64_t bytes) { bytes_freed.add(bytes); }

void collection(bool ok, std::chrono::steady_clock::duration lasted, WallTime ended) {
  runs[ok ? Run::ok : Run::error].add();
  run_seconds.observe(lasted);
  if (ok) last_success.set(std::chrono::floor<std::chrono::seconds>(ended).time_since_epoch().count());
}

void corrupt(ObjectKind kind) { corrupted[kind == ObjectKind::blob ? Kept::blob : Kept::manifest].add(); }

}  // namespace berth::registry::counts
