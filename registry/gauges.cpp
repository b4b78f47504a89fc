#include "registry/gauges.h"

#include "base/metrics.h"
#include "registry/commands/totals.h"

namespace berth::registry {
namespace {

struct TotalRow {
  Total which;
  std::string_view name;
  std::string_view help;
};
constexpr TotalRow kRows[] = {
    {Total::repositories, "storage_repositories", "Repositories."},
    {Total::manifests, "storage_manifests", "Manifests in repositories, without deleted ones."},
    {Total::tags, "storage_tags", "Tags."},
    {Total::blobs, "storage_blobs", "Blobs stored, each once however many repositories hold it."},
    {Total::bytes, "storage_bytes", "Bytes of blobs and manifests stored, each once."},
    {Total::quarantined, "scrub_quarantined_blobs",
     "Stored content that failed a check and was not pushed again since."},
    {Total::reap_bytes, "gc_pending_bytes", "Files that nothing refers to any more and that are still on the disk."},
};

}  // namespace

void read_gauges(const Core& core, metrics::Sink& sink) {
  const auto view = core.view();
  const kv::Reader& reader = view->reader(kv::Tier::any);
  for (const TotalRow& row : kRows) {
    const auto value = total(reader, row.which);
    if (value) sink.gauge(row.name, row.help, {}, static_cast<double>(*value));  // else the index says why itself
  }
  kv::ViewSource::release_thread_cache();  // a scraper comes back in a minute: it must not pin this state until then

  sink.gauge("blob_uploads_active", "Upload sessions that are open.", {}, static_cast<double>(core.uploads.size()));
  const std::size_t all = core.cache->size_bytes();
  const std::size_t manifests = std::min(all, core.cache->manifest_bytes());
  const auto cache_bytes = [&sink](std::string_view cache, std::size_t bytes) {
    sink.gauge("cache_bytes", "Bytes in berth's own caches.", {{"cache", cache}}, static_cast<double>(bytes));
  };
  cache_bytes("manifest", manifests);
  cache_bytes("blob", all - manifests);
}

}  // namespace berth::registry
