#include "registry/registry.h"

#include "base/log.h"
#include "registry/commands/delete_blob.h"
#include "registry/commands/delete_manifest.h"
#include "registry/commands/delete_repository.h"
#include "registry/commands/delete_tag.h"
#include "registry/commands/init_format.h"
#include "registry/gauges.h"
#include "registry/local_registry.h"
#include "registry/queries.h"
#include "registry/stage.h"
#include "registry/use_cases.h"

namespace berth::registry {

LocalRegistry::LocalRegistry(const RegistryParts& parts, std::shared_ptr<AnswerCache> cache,
                             const RegistryOptions& options, Uptime uptime_persisted)
    : core_(parts, std::move(cache), options, uptime_persisted), collector_(core_, uptime_persisted) {}

LocalRegistry::~LocalRegistry() = default;

Result<void> LocalRegistry::open() {
  BERTH_CHECK(recover(core_));
  kv::ViewSource::release_thread_cache();  // this thread may never look again, and must not pin the first state
  collector_.start();
  gauges_ = metrics::add_source([&core = core_](metrics::Sink& sink) { read_gauges(core, sink); });
  return {};
}

// ---- pull ----

Task<BlobContent> LocalRegistry::open_blob(const Actor& actor, const oci::RepositoryName& name,
                                           const oci::Digest& digest) {
  return registry::open_blob(core_, actor, name, digest);
}

Task<std::uint64_t> LocalRegistry::blob_size(const Actor& actor, const oci::RepositoryName& name,
                                             const oci::Digest& digest) {
  return registry::blob_size(core_, actor, name, digest);
}

Task<std::shared_ptr<const ManifestAnswer>> LocalRegistry::get_manifest(const Actor& actor,
                                                                        const oci::RepositoryName& name,
                                                                        const oci::Reference& reference,
                                                                        bool count_pull) {
  return registry::get_manifest(core_, actor, name, reference, count_pull);
}

// ---- push ----

Task<std::unique_ptr<Upload>> LocalRegistry::start_upload(const Actor& actor, const oci::RepositoryName& name,
                                                          oci::Algorithm algorithm, bool single_request) {
  return registry::start_upload(core_, actor, name, algorithm, single_request);
}

Task<std::unique_ptr<Upload>> LocalRegistry::claim_upload(const Actor& actor, const oci::RepositoryName& name,
                                                          const std::string& upload_id) {
  return registry::claim_upload(core_, actor, name, upload_id);
}

Task<std::uint64_t> LocalRegistry::upload_offset(const Actor& actor, const oci::RepositoryName& name,
                                                 const std::string& upload_id) {
  return registry::upload_offset(core_, actor, name, upload_id);
}

Task<bool> LocalRegistry::mount_blob(const Actor& actor, const oci::RepositoryName& target, const oci::Digest& digest,
                                     std::optional<oci::RepositoryName> from, const Visibility& visibility) {
  return registry::mount_blob(core_, actor, target, digest, std::move(from), visibility);
}

Task<PutManifestDone> LocalRegistry::put_manifest(const Actor& actor, PutManifestRequest request) {
  return registry::put_manifest(core_, actor, std::move(request));
}

// ---- delete ----

Result<void> LocalRegistry::check_deletion() const {
  if (core_.options.deletion) return {};
  return make_error(ErrorCode::method_not_allowed, "deletion is switched off");
}

template <class Command>
Task<void> LocalRegistry::change(const Actor& actor, Command command) {
  BERTH_CO_CHECK(check_deletion());
  const Stage stage(actor, kCommitStage);
  BERTH_CO_CHECK(co_await core_.parts.committer.submit(std::move(command)));
  co_return Result<void>{};
}

Task<void> LocalRegistry::delete_tag(const Actor& actor, const oci::RepositoryName& name, const oci::Tag& tag,
                                     Precondition precondition, TagSet may_delete) {
  DeleteTag command{.context = core_.context(actor),
                    .name_space = kLocalNamespace,
                    .repository = name,
                    .tag = tag,
                    .precondition = std::move(precondition),
                    .may_delete = std::move(may_delete)};
  return change(actor, std::move(command));
}

Task<void> LocalRegistry::delete_manifest(const Actor& actor, const oci::RepositoryName& name,
                                          const oci::Digest& digest, Precondition precondition,
                                          TagSet may_delete) {
  DeleteManifest command{.context = core_.context(actor),
                         .name_space = kLocalNamespace,
                         .repository = name,
                         .digest = digest,
                         .precondition = std::move(precondition),
                         .may_delete = std::move(may_delete),
                         .periods = core_.periods()};
  return change(actor, std::move(command));
}

Task<void> LocalRegistry::delete_blob(const Actor& actor, const oci::RepositoryName& name, const oci::Digest& digest,
                                      TagSet may_delete) {
  DeleteBlob command{.context = core_.context(actor),
                     .name_space = kLocalNamespace,
                     .repository = name,
                     .digest = digest,
                     .may_delete = std::move(may_delete),
                     .periods = core_.periods()};
  return change(actor, std::move(command));
}

Task<void> LocalRegistry::delete_repository(const Actor& actor, const oci::RepositoryName& name, TagSet may_delete) {
  DeleteRepository command{.context = core_.context(actor),
                           .name_space = kLocalNamespace,
                           .repository = name,
                           .may_delete = std::move(may_delete),
                           .periods = core_.periods()};
  return change(actor, std::move(command));
}

// ---- lists ----

Task<TagPage> LocalRegistry::list_tags(const Actor& actor, const oci::RepositoryName& name, std::size_t n,
                                       std::string last) {
  auto query = [name, n, last = std::move(last)](const kv::Reader& reader) {
    return registry::list_tags(reader, kLocalNamespace, name, n, last);
  };
  co_return co_await core_.read(actor, core_.view(), std::move(query));
}

Task<RepositoryPage> LocalRegistry::list_repositories(const Actor& actor, const Visibility& visibility, std::size_t n,
                                                      std::string last) {
  auto query = [visibility, n, last = std::move(last)](const kv::Reader& reader) {
    return registry::list_repositories(reader, kLocalNamespace, visibility, n, last);
  };
  if (visibility.all && !visibility.within) {
    co_return co_await core_.read(actor, core_.view(), std::move(query));
  }
  // How many names lie between two visible ones is not bounded (`*/app`), so this is no work for an I/O thread.
  auto job = [view = core_.view(), query = std::move(query)] { return query(view->reader(kv::Tier::any)); };
  co_return co_await core_.on_disk(actor, std::move(job));
}

Task<ReferrerPage> LocalRegistry::list_referrers(const Actor& actor, const oci::RepositoryName& name,
                                                 std::string subject,
                                                 std::vector<std::string> types, std::size_t n, std::size_t bytes_max,
                                                 std::string cursor) {
  auto query = [name, subject = std::move(subject), types = std::move(types), n, bytes_max,
                cursor = std::move(cursor)](const kv::Reader& reader, Patience patience) {
    return registry::list_referrers(reader, kLocalNamespace, name, subject, types, n, bytes_max, cursor, patience);
  };
  // As Core::read, but an I/O thread also gives up what is long.
  const auto view = core_.view();
  auto page = query(view->reader(kv::Tier::cache_only), Patience::glance);
  if (!page.failed_with(ErrorCode::would_block)) co_return page;
  auto job = [view, query = std::move(query)] { return query(view->reader(kv::Tier::any), Patience::page); };
  co_return co_await core_.on_disk(actor, std::move(job));
}

// ---- life ----

Result<std::unique_ptr<LocalRegistry>> open_local_registry(const RegistryParts& parts,
                                                           std::shared_ptr<AnswerCache> cache,
                                                           const RegistryOptions& options) {
  InitFormat init;
  init.context = CommandContext{.now = parts.clock.wall(), .uptime = Uptime{1}};
  BERTH_TRY(const auto format, parts.committer.run(std::move(init)));
  auto registry = std::make_unique<LocalRegistry>(parts, std::move(cache), options, format.uptime);
  BERTH_CHECK(registry->open());
  return registry;
}

Result<std::unique_ptr<Registry>> open_registry(RegistryParts parts, std::shared_ptr<AnswerCache> cache,
                                                RegistryOptions options) {
  BERTH_TRY(auto registry, open_local_registry(parts, std::move(cache), options));
  return std::unique_ptr<Registry>(std::move(registry));
}

}  // namespace berth::registry
