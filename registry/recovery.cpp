// What a start finds: files that a crash left, and sessions that outlived it.
#include "base/log.h"
#include "registry/core.h"
#include "registry/queries.h"
#include "registry/use_cases.h"

namespace berth::registry {

namespace {

/// The newest buckets hold whatever garbage there is: bytes that got their place, but whose record was never written.
Result<void> remove_garbage(Core& core) {
  BERTH_TRY(const std::vector<storage::Place> places, core.parts.blobs.recent_places());
  const auto view = core.view();
  std::uint64_t removed = 0;
  for (const storage::Place& place : places) {
    BERTH_TRY(const bool in_use, is_place_in_use(view->reader(kv::Tier::any), place));
    if (in_use) continue;
    const Result<void> gone = core.parts.blobs.remove(place);
    if (gone) {
      ++removed;
    } else {
      log::warning("a file that nothing refers to could not be removed",
                   {{"file", place.name}, {"problem", gone.error().log_detail}});
    }
  }
  if (removed > 0) log::info("removed files of pushes that were cut off", {{"files", removed}});
  return {};
}

Result<void> take_up_sessions(Core& core) {
  BERTH_TRY(const std::vector<storage::StagedUpload> staged, core.parts.blobs.staged());
  for (const storage::StagedUpload& upload : staged) {
    auto facts = UploadFacts::decode(upload.sidecar);
    if (!facts) {
      ignore(core.parts.blobs.discard(upload.upload_id));  // what stays is found again at the next start
      continue;
    }
    auto session = std::make_shared<UploadSession>(core.session_parts(), upload.upload_id, *std::move(facts),
                                                   upload.size);
    // Left where it is when there are more than may be open: a later start takes it up, or it expires then.
    ignore(core.uploads.add(std::move(session)));
  }
  if (!staged.empty()) log::info("took up upload sessions", {{"sessions", core.uploads.size()}});
  return {};
}

}  // namespace

Result<void> recover(Core& core) {
  BERTH_CHECK(remove_garbage(core));
  return take_up_sessions(core);
}

}  // namespace berth::registry
