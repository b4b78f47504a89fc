// Writing: uploads, mounts and manifests on their way in.
#include <boost/asio/this_coro.hpp>

#include "registry/commands/mount_blob.h"
#include "registry/commands/put_manifest.h"
#include "registry/core.h"
#include "registry/counts.h"
#include "registry/stage.h"
#include "registry/use_cases.h"

namespace berth::registry {

namespace {

/// A request's hold on a session, as the api sees it.
class UploadHandle final : public Upload {
 public:
  UploadHandle(Core& core, Actor actor, std::shared_ptr<UploadSession> session, std::shared_ptr<UploadClaim> claim)
      : core_(core), actor_(std::move(actor)), session_(std::move(session)), claim_(std::move(claim)) {}
  UploadHandle(const UploadHandle&) = delete;
  UploadHandle& operator=(const UploadHandle&) = delete;
  ~UploadHandle() override { session_->leave(claim_); }

  Task<void> hold() { return session_->hold(claim_); }

  const std::string& id() const override { return session_->id(); }
  std::uint64_t offset() const override { return session_->offset(); }

  Task<void> append(Buffer buffer) override {
    if (!core_.parts.ballast.writable()) co_return noted(storage_full_error());
    const Stage stage(actor_, kWriteStage);
    co_return noted(co_await session_->append(claim_, std::move(buffer)));
  }
  Task<void> flush() override { return session_->flush(claim_); }
  Task<void> truncate(std::uint64_t offset) override { return session_->truncate(claim_, offset); }

  Task<void> commit(const oci::Digest& digest) override {
    const oci::Digest wanted = digest;
    Stage hashing(actor_, kHashStage);
    BERTH_CO_TRY(const oci::Digest actual, co_await session_->digest(claim_, wanted.algorithm()));
    hashing.end();
    if (actual != wanted) {
      session_->end(counts::UploadEnd::digest_mismatch);
      co_return make_error(ErrorCode::digest_mismatch, "the content hashes to " + actual.to_string());
    }
    if (!core_.parts.ballast.writable()) co_return noted(storage_full_error());
    // From here on there is no way back: neither a newer request nor a cancelled one may leave bytes between their
    // place and the record that names it.
    session_->begin_commit(*claim_);
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto outcome = co_await commit_content(core_, actor_, session_, claim_, wanted);
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return noted(std::move(outcome));
  }

  Task<void> cancel() override {
    BERTH_CO_CHECK(co_await session_->settle(claim_));
    session_->end(failed_ ? counts::UploadEnd::error : counts::UploadEnd::aborted);
    co_return Result<void>{};
  }

  void on_superseded(std::function<void()> interrupt) override {
    session_->on_superseded(claim_, std::move(interrupt));
  }

 private:
  Result<void> noted(Result<void> answer) {
    if (counts::outcome_of(answer) == counts::Outcome::server_error) failed_ = true;
    return answer;
  }

  Core& core_;
  const Actor actor_;
  const std::shared_ptr<UploadSession> session_;
  const std::shared_ptr<UploadClaim> claim_;
  bool failed_ = false;  ///< by no fault of the client: so it is no wish of the client either that this ends
};

Result<std::shared_ptr<UploadSession>> find_session(const Core& core, const Actor& actor,
                                                    const oci::RepositoryName& name, const std::string& upload_id) {
  auto session = core.uploads.find(upload_id);
  // Others' sessions look like none, so that ids cannot be probed.
  if (!session || session->facts().repository != name.text() || session->facts().actor != actor.id) {
    return make_error(ErrorCode::upload_unknown, "there is no such upload session");
  }
  return session;
}

/// What a manifest's body is, worked out before any command.
struct CheckedManifest {
  oci::Digest digest;
  std::shared_ptr<const oci::Manifest> manifest;
};

Result<CheckedManifest> check_manifest(const std::string& body, const std::string& content_type,
                                       const std::optional<oci::Digest>& claimed, const oci::ManifestLimits& limits) {
  const auto algorithm = claimed ? claimed->algorithm() : oci::Algorithm::sha256;
  CheckedManifest checked;
  checked.digest = oci::hash(algorithm, as_bytes(body));
  if (claimed && *claimed != checked.digest) {
    return make_error(ErrorCode::digest_mismatch, "the manifest hashes to " + checked.digest.to_string());
  }
  BERTH_TRY(auto manifest, oci::parse_manifest(body, content_type, limits));
  checked.manifest = std::make_shared<const oci::Manifest>(std::move(manifest));
  return checked;
}

}  // namespace

Task<std::unique_ptr<Upload>> start_upload(Core& core, const Actor& actor, const oci::RepositoryName& name,
                                           oci::Algorithm algorithm, bool single_request) {
  if (!core.parts.ballast.writable()) co_return storage_full_error();
  UploadFacts facts;
  facts.repository = name.text();
  facts.actor = actor.id;
  facts.algorithm = algorithm;
  facts.started = core.parts.clock.wall();
  const bool resumable = !single_request;
  auto session =
      std::make_shared<UploadSession>(core.session_parts(), make_uuid(core.parts.entropy), std::move(facts), resumable);
  BERTH_CO_CHECK(core.uploads.add(session));
  BERTH_CO_TRY(auto claim, session->enter());
  co_return std::unique_ptr<Upload>(std::make_unique<UploadHandle>(core, actor, std::move(session), std::move(claim)));
}

Task<std::unique_ptr<Upload>> claim_upload(Core& core, const Actor& actor, const oci::RepositoryName& name,
                                           const std::string& upload_id) {
  BERTH_CO_TRY(auto session, find_session(core, actor, name, upload_id));
  BERTH_CO_TRY(auto claim, session->enter());
  auto handle = std::make_unique<UploadHandle>(core, actor, std::move(session), std::move(claim));
  trace::Span span(actor.trace, "claim upload");
  BERTH_CO_CHECK(co_await handle->hold());
  span.end();
  co_return std::unique_ptr<Upload>(std::move(handle));
}

Task<std::uint64_t> upload_offset(Core& core, const Actor& actor, const oci::RepositoryName& name,
                                  const std::string& upload_id) {
  BERTH_CO_TRY(const auto session, find_session(core, actor, name, upload_id));
  co_return session->offset();
}

Task<bool> mount_blob(Core& core, const Actor& actor, const oci::RepositoryName& target, const oci::Digest& digest,
                      std::optional<oci::RepositoryName> from, const Visibility& visibility) {
  if (!core.parts.ballast.writable()) {
    counts::mount(counts::MountEnd::error);
    co_return storage_full_error();
  }
  MountBlob command{.context = core.context(actor),
                    .name_space = kLocalNamespace,
                    .repository = target,
                    .digest = digest,
                    .from = std::move(from),
                    .sources = core.options.anonymous_mount ? visibility : Visibility{},
                    .periods = core.periods()};
  Stage stage(actor, kCommitStage);
  auto outcome = co_await core.parts.committer.submit(std::move(command));
  stage.end();
  counts::mount(!outcome ? counts::MountEnd::error : outcome->mounted ? counts::MountEnd::ok : counts::MountEnd::miss);
  if (!outcome) co_return std::move(outcome).error();
  if (outcome->mounted) counts::saved(outcome->bytes);
  co_return outcome->mounted;
}

namespace {

/// put_manifest(), and says what was pushed as soon as that is known.
Task<PutManifestDone> store_manifest(Core& core, const Actor& actor, PutManifestRequest request, ManifestType& type) {
  // Up to here parsing and hashing in place costs less than a change of threads.
  constexpr std::size_t kInPlaceMax = 32 << 10;
  if (!core.parts.ballast.writable()) co_return storage_full_error();
  if (request.body.size() > core.options.manifest_bytes_max) {
    co_return make_error(
        ErrorCode::manifest_too_large,
        "manifests larger than " + std::to_string(core.options.manifest_bytes_max) + " bytes are refused");
  }
  if (request.extra_tags.size() > core.options.tags_per_push_max) {
    co_return make_error(ErrorCode::too_many_tags,
                         "a push may set at most " + std::to_string(core.options.tags_per_push_max) + " tags");
  }
  std::optional<oci::Digest> claimed = request.expected_digest;
  if (const auto* digest = std::get_if<oci::Digest>(&request.reference)) claimed = *digest;

  const auto body = std::make_shared<const std::string>(std::move(request.body));
  auto check = [body, content_type = std::move(request.content_type), claimed, limits = core.options.manifest] {
    return check_manifest(*body, content_type, claimed, limits);
  };
  Result<CheckedManifest> checked;
  if (body->size() <= kInPlaceMax) {
    checked = check();
  } else {
    checked = co_await offload(core.parts.cpu_pool, std::move(check));
  }
  if (!checked) co_return std::move(checked).error();
  type = manifest_type(checked->manifest->kind, checked->manifest->artifact_type);

  PutManifest command{.context = core.context(actor),
                      .name_space = kLocalNamespace,
                      .repository = std::move(request.repository),
                      .digest = checked->digest,
                      .manifest = checked->manifest,
                      .body = body,
                      .reference = std::move(request.reference),
                      .extra_tags = std::move(request.extra_tags),
                      .precondition = std::move(request.precondition),
                      .may_overwrite = request.may_overwrite,
                      .sparse_indexes = core.options.sparse_indexes,
                      .periods = core.periods()};
  Stage stage(actor, kCommitStage);
  BERTH_CO_TRY(const auto outcome, co_await core.parts.committer.submit(std::move(command)));
  stage.end();
  PutManifestDone done;
  done.digest = checked->digest;
  done.subject = checked->manifest->subject;
  done.created = outcome.created;
  co_return done;
}

}  // namespace

Task<PutManifestDone> put_manifest(Core& core, const Actor& actor, PutManifestRequest request) {
  ManifestType type = ManifestType::unknown;
  auto done = co_await store_manifest(core, actor, std::move(request), type);
  counts::push(type, counts::outcome_of(done));
  co_return done;
}

}  // namespace berth::registry
