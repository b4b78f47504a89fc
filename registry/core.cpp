#include "registry/core.h"

#include "base/log.h"
#include "registry/commands/quarantine.h"
#include "registry/counts.h"
#include "registry/stage.h"

namespace berth::registry {

namespace {

/// For the bytes of all sessions that are still small, besides the buffers of bodies on their way.
constexpr std::size_t kUploadMemoryMax = 24 << 20;

/// Up to here hashing in place costs less than a change of threads.
constexpr std::size_t kHashInPlaceMax = 256 << 10;

}  // namespace

Core::Core(const RegistryParts& parts_given, std::shared_ptr<AnswerCache> cache_given,
           const RegistryOptions& options_given, Uptime uptime_persisted)
    : parts(parts_given), options(options_given), cache(std::move(cache_given)),
      uptime(parts_given.clock, uptime_persisted), upload_memory(kUploadMemoryMax),
      uploads({.all = options.uploads_open_max,
               .of_one = options.uploads_open_of_one_max,
               .of_nobody = options.uploads_open_of_nobody_max}),
      disk(parts_given.write_pool), cpu(parts_given.cpu_pool) {}

CommandContext Core::context(const Actor& actor) const {
  return {.actor = actor.id, .request_id = actor.request_id, .now = parts.clock.wall(), .uptime = uptime.now()};
}

UploadSession::Parts Core::session_parts() {
  return {.table = uploads,
          .disk = disk,
          .cpu = cpu,
          .ballast = parts.ballast,
          .clock = parts.clock,
          .content = {parts.blobs, upload_memory, options.inline_bytes_max},
          .blob_bytes_max = options.blob_bytes_max};
}

Task<bool> Core::quarantine(ObjectKind kind, oci::Digest digest, std::string file, std::string what) {
  Quarantine command{.context = system_context(), .kind = kind, .digest = digest, .file = file};
  BERTH_CO_TRY(const auto outcome, co_await parts.committer.submit(std::move(command)));
  if (outcome.quarantined) note_quarantined(kind, digest, file, what);
  co_return outcome.quarantined;
}

void Core::note_quarantined(ObjectKind kind, const oci::Digest& digest, const std::string& file,
                            const std::string& what) {
  counts::corrupt(kind);
  if (kind == ObjectKind::blob) verified.erase(digest);
  log::error("stored bytes failed a check and are kept from readers until they are pushed again",
             {{"digest", digest.to_string()}, {"file", file}, {"problem", what}});
}

asio::awaitable<bool> Core::is_sound(const Actor& actor, oci::Digest digest,
                                     std::shared_ptr<const std::string> bytes) {
  if (bytes->size() <= kHashInPlaceMax) co_return oci::hash(digest.algorithm(), as_bytes(*bytes)) == digest;
  auto job = [digest, bytes = std::move(bytes)] {
    return oci::hash(digest.algorithm(), as_bytes(*bytes)) == digest;
  };
  const Stage stage(actor, kHashStage);
  co_return co_await offload(parts.cpu_pool, std::move(job));
}

}  // namespace berth::registry
