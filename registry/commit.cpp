// The end of an upload: verified bytes become a blob. Bytes first, then the record that names them; whatever happens in
// between leaves garbage and never a record of nothing.
#include "registry/commands/commit_blob.h"
#include "registry/core.h"
#include "registry/counts.h"
#include "registry/stage.h"
#include "registry/use_cases.h"

namespace berth::registry {

namespace {

struct PublishOutcome {
  std::optional<storage::Place> place;
  bool lost = false;  ///< it failed and the bytes are not sound any more
};

/// Syncs the bytes and gives them their final name. On storage_full the session keeps them if they are still sound.
Task<storage::Place> publish(Core& core, std::shared_ptr<UploadSession> session, std::shared_ptr<UploadClaim> claim,
                             oci::Digest digest) {
  auto outcome = std::make_shared<PublishOutcome>();
  UploadSession::ContentJob job = [&blobs = core.parts.blobs, id = session->id(), digest,
                                   outcome](UploadContent& content) -> Result<void> {
    BERTH_TRY(auto staging, content.take_staging());
    Result<storage::Place> place = blobs.publish(std::move(staging), id, digest);
    if (!place) {
      outcome->lost = !content.resume_staging().has_value();
      return place.error();
    }
    content.forget_staging();
    outcome->place = *std::move(place);
    return {};
  };
  auto published = co_await session->run(std::move(claim), core.disk, std::move(job));
  if (!published) {
    if (outcome->lost) session->end(counts::UploadEnd::error);
    co_return std::move(published).error();
  }
  co_return *outcome->place;
}

/// Does an error of the command leave the session as it is, for the client to try again?
bool is_passing(const Error& error) {
  return error.code == ErrorCode::unavailable || error.code == ErrorCode::io_error ||
         error.code == ErrorCode::storage_full;
}

}  // namespace

Task<void> commit_content(Core& core, const Actor& actor, std::shared_ptr<UploadSession> session,
                          std::shared_ptr<UploadClaim> claim, oci::Digest digest) {
  UploadContent& content = session->content();
  auto name = oci::RepositoryName::parse(session->facts().repository);
  if (!name) co_return std::move(name).error();
  CommitBlob command{.context = core.context(actor),
                     .name_space = kLocalNamespace,
                     .repository = *std::move(name),
                     .digest = digest,
                     .size = content.size(),
                     .content = CommitBlob::ExistingCopy{},
                     .replace_copy = false,
                     .periods = core.periods()};

  // The same blob was committed or checked since start: its copy is sound, a link to it is enough.
  if (core.verified.contains(digest) && !session->published()) {
    Stage stage(actor, kCommitStage);
    auto linked = co_await core.parts.committer.submit(command);
    stage.end();
    if (!linked) {
      Error error = std::move(linked).error();
      if (!is_passing(error)) session->end(counts::UploadEnd::error);
      co_return error;
    }
    if (!linked->bytes_needed) {
      counts::saved(command.size);
      session->end(counts::UploadEnd::ok);
      co_return Result<void>{};
    }
    core.verified.erase(digest);
  }

  if (content.in_memory()) {
    command.content = CommitBlob::Inline{content.memory()};
  } else {
    if (!session->published()) {
      const Stage stage(actor, kFileStage);
      BERTH_CO_TRY(const storage::Place place, co_await publish(core, session, std::move(claim), digest));
      session->set_published(place);
    }
    command.content = *session->published();
  }
  // Another session may have brought the same blob meanwhile: then the copy given goes to the reap queue.
  command.replace_copy = !core.verified.contains(digest);
  command.context = core.context(actor);
  const std::uint64_t size = command.size;
  Stage stage(actor, kCommitStage);
  auto stored = co_await core.parts.committer.submit(std::move(command));
  stage.end();
  if (!stored) {
    Error error = std::move(stored).error();
    // Refused: nothing names the file, and the client has to begin anew. `unavailable` may mean that the record was
    // written all the same; then the session keeps the file, or the collector finds out whom it belongs to.
    if (!is_passing(error)) session->end(counts::UploadEnd::error);
    co_return error;
  }
  if (stored->was_there) counts::saved(size);
  core.verified.insert(digest);
  session->set_published(std::nullopt);
  session->end(counts::UploadEnd::ok);
  co_return Result<void>{};
}

}  // namespace berth::registry
