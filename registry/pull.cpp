// Reading: blobs and manifests on their way out.
#include <sys/stat.h>

#include "base/log.h"
#include "registry/commands/extend_link.h"
#include "registry/core.h"
#include "registry/counts.h"
#include "registry/queries.h"
#include "registry/stage.h"
#include "registry/use_cases.h"

namespace berth::registry {

namespace {

Error damaged(const oci::Digest& digest) {
  return make_error(ErrorCode::corrupt, "the stored content is damaged; pushing it again heals it", digest.to_string());
}

BlobContent in_memory(const oci::Digest& digest, BlobBytes bytes) {
  BlobContent content;
  content.digest = digest;
  content.size = bytes->size();
  content.bytes = std::move(bytes);
  return content;
}

/// The last to close a file that was removed meanwhile frees all of it, which may take long: not on an I/O thread.
std::shared_ptr<const storage::OpenBlob> shared_file(Pool& disk_pool, storage::OpenBlob file) {
  auto close = [&disk_pool](const storage::OpenBlob* open) {
    std::unique_ptr<const storage::OpenBlob> owned(open);
    struct stat found {};
    const bool removed = ::fstat(owned->fd.get(), &found) == 0 && found.st_nlink == 0;
    try {
      if (removed) disk_pool.post([owned = std::move(owned)] {});
    } catch (const std::bad_alloc&) {
      // Closed here, then.
    }
  };
  return {new storage::OpenBlob(std::move(file)), std::move(close)};
}

/// One try. Empty: the copy that was read has been replaced meanwhile, look again.
Task<std::optional<BlobContent>> try_open_blob(Core& core, const Actor& actor, oci::RepositoryName name,
                                               oci::Digest digest, std::string key) {
  auto view = core.view();
  const std::uint64_t version = view->version();
  auto query = [name, digest](const kv::Reader& reader) {
    return resolve_blob(reader, kLocalNamespace, name, digest);
  };
  auto resolved = co_await core.read(actor, std::move(view), std::move(query));
  if (resolved.failed_with(ErrorCode::corrupt)) {
    const Error cause = resolved.error();
    BERTH_CO_TRY(const bool quarantined, co_await core.quarantine(ObjectKind::blob, digest, {}, cause.message));
    co_return quarantined ? damaged(digest) : cause;
  }
  if (!resolved) co_return std::move(resolved).error();

  if (auto* text = std::get_if<std::string>(&resolved->content)) {
    // Checked whenever it comes from the disk; from then on the cache has it.
    auto bytes = std::make_shared<const std::string>(std::move(*text));
    if (co_await core.is_sound(actor, digest, bytes)) {
      core.cache->insert(key, CachedAnswer{.blob = bytes}, version);
      co_return in_memory(digest, std::move(bytes));
    }
    BERTH_CO_TRY(const bool quarantined,
                 co_await core.quarantine(ObjectKind::blob, digest, {}, "the bytes do not hash to the digest"));
    if (quarantined) co_return damaged(digest);
    co_return std::nullopt;
  }

  const auto place = std::get<storage::Place>(resolved->content);
  const std::uint64_t size = resolved->link.size;
  auto open = [&blobs = core.parts.blobs, place] { return blobs.open(place); };
  auto file = co_await core.on_disk(actor, std::move(open));
  const bool missing = file.failed_with(ErrorCode::corrupt);
  if (!file && !missing) {
    core.verified.erase(digest);  // whatever ails it, the next push shall bring a new copy
    co_return std::move(file).error();
  }
  if (!missing && file->size == size) {
    BlobContent content;
    content.digest = digest;
    content.size = size;
    content.file = shared_file(core.parts.disk_pool, *std::move(file));
    content.report_unreadable = [&core, digest, name = place.name] {
      core.verified.erase(digest);  // a push that comes before the collector has looked shall bring a new copy
      core.suspects.add(name, digest);
    };
    co_return content;
  }
  BERTH_CO_TRY(const bool quarantined,
               co_await core.quarantine(ObjectKind::blob, digest, place.name,
                                        missing ? "the file is missing" : "the file has another size"));
  if (quarantined) co_return damaged(digest);
  co_return std::nullopt;
}

/// Which manifest a reference means, whatever became of its bytes.
Task<oci::Digest> find_digest(Core& core, const Actor& actor, oci::RepositoryName name, oci::Reference reference) {
  if (const auto* digest = std::get_if<oci::Digest>(&reference)) co_return *digest;
  auto query = [name, tag = std::get<oci::Tag>(reference)](const kv::Reader& reader) -> Result<oci::Digest> {
    BERTH_TRY(const auto repository, find_repository(reader, kLocalNamespace, name));
    if (!repository) return make_error(ErrorCode::manifest_unknown, "there is no such repository");
    BERTH_TRY(const auto record, find_tag(reader, *repository, tag.text()));
    if (!record) return make_error(ErrorCode::manifest_unknown, "there is no such tag");
    return record->digest;
  };
  co_return co_await core.read(actor, core.view(), std::move(query));
}

Task<std::shared_ptr<const ResolvedManifest>> load_manifest(Core& core, const Actor& actor,
                                                            oci::RepositoryName name, oci::Reference reference,
                                                            std::string key) {
  auto view = core.view();
  const std::uint64_t version = view->version();
  auto query = [name, reference](const kv::Reader& reader) {
    return find_manifest(reader, kLocalNamespace, name, reference);
  };
  auto found = co_await core.read(actor, std::move(view), std::move(query));
  if (found.failed_with(ErrorCode::corrupt)) {
    const Error cause = found.error();
    BERTH_CO_TRY(const oci::Digest digest, co_await find_digest(core, actor, name, reference));
    BERTH_CO_TRY(const bool quarantined,
                 co_await core.quarantine(ObjectKind::manifest, digest, {}, cause.message));
    co_return quarantined ? damaged(digest) : cause;
  }
  if (!found) co_return std::move(found).error();
  auto answer = std::make_shared<const ResolvedManifest>(*std::move(found));
  // Lives as long as the answer does.
  const std::shared_ptr<const std::string> bytes(answer, &answer->bytes);
  if (!co_await core.is_sound(actor, answer->digest, bytes)) {
    BERTH_CO_CHECK(co_await core.quarantine(ObjectKind::manifest, answer->digest, {},
                                            "the bytes do not hash to the digest"));
    co_return damaged(answer->digest);
  }
  core.cache->insert(key, CachedAnswer{.manifest = answer}, version);
  co_return answer;
}

}  // namespace

Task<BlobContent> open_blob(Core& core, const Actor& actor, const oci::RepositoryName& name, const oci::Digest& digest) {
  const std::string key = cache_key(kLocalNamespace, name.text(), digest.to_string());
  BlobBytes bytes = core.cache->find(key).blob;
  counts::looked_up(counts::Cache::blob, bytes != nullptr);
  if (bytes) co_return in_memory(digest, std::move(bytes));
  constexpr int kTriesMax = 3;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    BERTH_CO_TRY(auto content, co_await try_open_blob(core, actor, name, digest, key));
    if (content) co_return *std::move(content);
  }
  co_return make_error(ErrorCode::unavailable, "the blob is being replaced; try again");
}

Task<std::uint64_t> blob_size(Core& core, const Actor& actor, const oci::RepositoryName& name,
                              const oci::Digest& digest) {
  auto query = [name, digest](const kv::Reader& reader) { return find_link(reader, kLocalNamespace, name, digest); };
  BERTH_CO_TRY(const BlobLink link, co_await core.read(actor, core.view(), std::move(query)));
  // Nothing is collected in a pause.
  if (!core.paused() && wants_extension(link.due, core.uptime.now(), core.options.collection_grace)) {
    ExtendLink command{.context = core.system_context(),
                       .name_space = kLocalNamespace,
                       .repository = name,
                       .digest = digest,
                       .periods = core.periods()};
    const Stage stage(actor, kCommitStage);
    BERTH_CO_CHECK(co_await core.parts.committer.submit(std::move(command)));
  }
  co_return link.size;
}

Task<std::shared_ptr<const ManifestAnswer>> get_manifest(Core& core, const Actor& actor, const oci::RepositoryName& name,
                                                         const oci::Reference& reference, bool count_pull) {
  const std::string text = oci::to_string(reference);
  const std::string key = cache_key(kLocalNamespace, name.text(), text);
  std::shared_ptr<const ResolvedManifest> answer = core.cache->find(key).manifest;
  counts::looked_up(counts::Cache::manifest, answer != nullptr);
  if (!answer) {
    auto loaded = co_await load_manifest(core, actor, name, reference, key);
    if (!loaded) {
      if (count_pull) counts::pull(ManifestType::unknown, counts::outcome_of(loaded));
      co_return std::move(loaded).error();
    }
    answer = *std::move(loaded);
  }
  if (!count_pull) co_return answer;
  counts::pull(answer->type, counts::Outcome::ok);
  core.pulls.count(key, name.text(), text, core.parts.clock.wall());
  co_return answer;
}

}  // namespace berth::registry
