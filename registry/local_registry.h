// The Registry over a store, a committer and a blob store of this process.
#pragma once

#include "base/metrics.h"
#include "registry/collector.h"
#include "registry/core.h"

namespace berth::registry {

/// See registry.h for what each function does.
class LocalRegistry final : public Registry {
 public:
  LocalRegistry(const RegistryParts& parts, std::shared_ptr<AnswerCache> cache, const RegistryOptions& options,
                Uptime uptime_persisted);
  /// Stops. No Upload and no Task of it is left.
  ~LocalRegistry() override;

  /// Removes what a crash left, takes up sessions and starts the collector.
  Result<void> open();
  /// A full pass of the collector at once. Blocks.
  void collect_now() { collector_.run_now(); }
  Core& core() { return core_; }

  Task<BlobContent> open_blob(const Actor& actor, const oci::RepositoryName& name, const oci::Digest& digest) override;
  Task<std::uint64_t> blob_size(const Actor& actor, const oci::RepositoryName& name,
                                const oci::Digest& digest) override;
  Task<std::shared_ptr<const ManifestAnswer>> get_manifest(const Actor& actor, const oci::RepositoryName& name,
                                                           const oci::Reference& reference, bool count_pull) override;
  Task<std::unique_ptr<Upload>> start_upload(const Actor& actor, const oci::RepositoryName& name,
                                             oci::Algorithm algorithm, bool single_request) override;
  Task<std::unique_ptr<Upload>> claim_upload(const Actor& actor, const oci::RepositoryName& name,
                                             const std::string& upload_id) override;
  Task<std::uint64_t> upload_offset(const Actor& actor, const oci::RepositoryName& name,
                                    const std::string& upload_id) override;
  Task<bool> mount_blob(const Actor& actor, const oci::RepositoryName& target, const oci::Digest& digest,
                        std::optional<oci::RepositoryName> from, const Visibility& visibility) override;
  Task<PutManifestDone> put_manifest(const Actor& actor, PutManifestRequest request) override;
  Task<void> delete_tag(const Actor& actor, const oci::RepositoryName& name, const oci::Tag& tag,
                        Precondition precondition, TagSet may_delete) override;
  Task<void> delete_manifest(const Actor& actor, const oci::RepositoryName& name, const oci::Digest& digest,
                             Precondition precondition, TagSet may_delete) override;
  Task<void> delete_blob(const Actor& actor, const oci::RepositoryName& name, const oci::Digest& digest,
                         TagSet may_delete) override;
  Task<void> delete_repository(const Actor& actor, const oci::RepositoryName& name, TagSet may_delete) override;
  Task<TagPage> list_tags(const Actor& actor, const oci::RepositoryName& name, std::size_t n,
                          std::string last) override;
  Task<RepositoryPage> list_repositories(const Actor& actor, const Visibility& visibility, std::size_t n,
                                         std::string last) override;
  Task<ReferrerPage> list_referrers(const Actor& actor, const oci::RepositoryName& name, std::string subject,
                                    std::vector<std::string> types, std::size_t n, std::size_t bytes_max,
                                    std::string cursor) override;
  bool writable() const override { return core_.parts.ballast.writable(); }
  void stop() override { collector_.stop(); }

 private:
  Result<void> check_deletion() const;
  template <class Command>
  Task<void> change(const Actor& actor, Command command);

  Core core_;
  Collector collector_;
  metrics::Source gauges_;
};

/// As open_registry, for those who know which registry it is.
Result<std::unique_ptr<LocalRegistry>> open_local_registry(const RegistryParts& parts,
                                                           std::shared_ptr<AnswerCache> cache,
                                                           const RegistryOptions& options);

}  // namespace berth::registry
