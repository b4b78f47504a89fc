// Upload sessions: opened, appended to, asked about, committed, cancelled; and mounts, which need no bytes.
//
// A body is read only after everything that can be said without it was said: route, right, session, digest, offset and
// sizes. So `Expect: 100-continue` means what it should.
#include <algorithm>

#include "api/errors.h"
#include "api/handlers.h"

namespace berth::api {

namespace {

std::string upload_path(const Context& context, const std::string& id) {
  return "/v2/" + context.repository().text() + "/blobs/uploads/" + id;
}

/// `0-<last byte>`. An empty session says 0-0, as the reference registry does: docker cannot read another form, and
/// takes the second number plus one for the size of what it pushed.
std::string upload_range(std::uint64_t offset) { return "0-" + std::to_string(offset == 0 ? 0 : offset - 1); }

Response session_response(unsigned status, const Context& context, const std::string& id, std::uint64_t offset) {
  Response response;
  response.status = status;
  response.headers.add("Location", upload_path(context, id));
  response.headers.add("Range", upload_range(offset));
  response.headers.add("Docker-Upload-UUID", id);
  return response;
}

Response blob_created(const Context& context, const oci::Digest& digest) {
  Response response;
  response.status = 201;
  response.headers.add("Location", "/v2/" + context.repository().text() + "/blobs/" + digest.to_string());
  response.headers.add("Docker-Content-Digest", digest.to_string());
  return response;
}

/// A chunk that does not continue the session. Range and Location tell the client where it stands.
Response refuse_chunk(const Context& context, const std::string& id, std::uint64_t offset) {
  Error error = make_error(ErrorCode::upload_range_invalid,
                           "the chunk must begin at byte " + std::to_string(offset) + ", where this session stands");
  error.upload_offset = offset;
  Response response = error_response(error, context.request.id);
  response.headers.add("Location", upload_path(context, id));
  response.headers.add("Range", upload_range(offset));
  return response;
}

Error wrong_size(std::uint64_t announced) {
  return make_error(ErrorCode::size_invalid,
                    "the body does not have the " + std::to_string(announced) + " bytes that were announced");
}

/// What a body must not be larger than, or must be exactly.
struct BodyPlan {
  std::uint64_t from = 0;                  ///< the session's offset before it
  std::optional<std::uint64_t> announced;  ///< by Content-Range
};

/// Refuses before the first byte what can be refused then. Errors: storage_full, denied, size_invalid.
Result<void> check_body(const Context& context, const BodyPlan& plan) {
  if (!context.registry().writable()) {
    return make_error(ErrorCode::storage_full, "there is no room for more content; try again later");
  }
  const auto& length = context.request.content_length;
  if (plan.announced && length && *plan.announced != *length) return wrong_size(*plan.announced);
  const std::uint64_t blob_bytes_max = context.options.blob_bytes_max;
  const std::uint64_t coming = length.value_or(plan.announced.value_or(0));
  if (blob_bytes_max != 0 && (plan.from > blob_bytes_max || coming > blob_bytes_max - plan.from)) {
    return make_error(ErrorCode::denied, "blobs larger than " + std::to_string(blob_bytes_max) + " bytes are refused");
  }
  return {};
}

/// Moves the body into the session. What the client sent wrongly leaves the session as it was; when the client is lost
/// its bytes are kept, for it will come back and ask.
Task<void> receive_body(Context& context, registry::Upload& upload, BodyPlan plan) {
  const trace::Span span(context.request.span.below(), "receive body");
  std::uint64_t received = 0;
  while (true) {
    auto piece = co_await context.request.body->next();
    if (piece.failed_with(ErrorCode::size_invalid)) {
      Error error = std::move(piece).error();
      BERTH_CO_CHECK(co_await upload.truncate(plan.from));
      co_return error;
    }
    if (!piece) {
      Error error = std::move(piece).error();
      ignore(co_await upload.flush());  // the answer is the body's error; an unwritten tail will be sent again
      co_return error;
    }
    registry::Buffer buffer = *std::move(piece);
    received += buffer.size();
    const bool ended = buffer.size() == 0;
    if (plan.announced && (received > *plan.announced || (ended && received < *plan.announced))) {
      BERTH_CO_CHECK(co_await upload.truncate(plan.from));
      co_return wrong_size(*plan.announced);
    }
    if (ended) co_return Result<void>{};
    BERTH_CO_CHECK(co_await upload.append(std::move(buffer)));
  }
}

/// The algorithm a session hashes with from its first byte, so that its close need not read it again.
Result<oci::Algorithm> session_algorithm(const Query& query, oci::Algorithm fallback) {
  const auto text = query.get("digest-algorithm");
  if (!text) return fallback;
  auto algorithm = oci::parse_algorithm(*text);
  if (algorithm) return *algorithm;
  return make_error(std::move(algorithm).error().code, "digest-algorithm must be sha256 or sha512");
}

Result<oci::Digest> parse_query_digest(const Query& query) {
  const auto text = query.get("digest");
  if (!text) return make_error(ErrorCode::digest_invalid, "the query must hold digest=<digest of the whole blob>");
  return oci::Digest::parse(*text);
}

Task<Response> open_session(Context& context, oci::Algorithm algorithm) {
  const bool single_request = false;
  BERTH_CO_TRY(const auto upload, co_await context.registry().start_upload(context.actor, context.repository(),
                                                                           algorithm, single_request));
  co_return session_response(202, context, upload->id(), 0);
}

/// A client that got a token for the target alone shall ask for one that holds the source. When that holds nothing
/// there, it has asked.
bool may_ask_again(const auth::Principal& principal, const oci::RepositoryName& source) {
  const auto& asked_for = principal.asked_for;
  return principal.from_token && std::find(asked_for.begin(), asked_for.end(), source.text()) == asked_for.end();
}

// distribution-spec end-11. Whatever keeps a mount from happening opens a session instead, so that the client can push
// the bytes, and so that nobody learns what other repositories hold.
Task<Response> mount(Context& context, std::string_view mount_text) {
  const auto digest = oci::Digest::parse(mount_text);
  const auto wanted = digest ? digest->algorithm() : oci::Algorithm::sha256;
  BERTH_CO_TRY(const auto algorithm, session_algorithm(context.query, wanted));
  if (!digest) co_return co_await open_session(context, algorithm);

  std::optional<oci::RepositoryName> from;
  if (const auto text = context.query.get("from")) {
    auto name = oci::RepositoryName::parse(*text);
    const bool readable = name && context.policy.decide(context.principal, auth::Action::pull, &*name).allowed;
    if (!readable && name && may_ask_again(context.principal, *name)) {
      co_return make_error(ErrorCode::unauthorized, "the mount needs a token for its source, too");
    }
    if (!readable) co_return co_await open_session(context, algorithm);
    from = *std::move(name);
  }
  const auto visibility = context.policy.visibility(context.principal);
  BERTH_CO_TRY(const bool mounted, co_await context.registry().mount_blob(context.actor, context.repository(), *digest,
                                                                         std::move(from), visibility));
  if (mounted) co_return blob_created(context, *digest);
  co_return co_await open_session(context, algorithm);
}

// distribution-spec end-4b. The client never learns of the session, so nothing of it may stay behind on any error.
Task<Response> push_whole(Context& context) {
  BERTH_CO_TRY(const oci::Digest digest, parse_query_digest(context.query));
  BERTH_CO_TRY(const auto algorithm, session_algorithm(context.query, digest.algorithm()));
  if (algorithm != digest.algorithm()) {
    co_return make_error(ErrorCode::digest_invalid, "digest-algorithm and digest name different algorithms");
  }
  const BodyPlan plan;
  BERTH_CO_CHECK(check_body(context, plan));
  const bool single_request = true;
  BERTH_CO_TRY(const auto upload, co_await context.registry().start_upload(context.actor, context.repository(),
                                                                           algorithm, single_request));
  auto outcome = co_await receive_body(context, *upload, plan);
  if (outcome) outcome = co_await upload->commit(digest);
  if (outcome) co_return blob_created(context, digest);
  ignore(co_await upload->cancel());  // a refused commit has ended it already; what is left expires
  co_return std::move(outcome).error();
}

/// What PATCH and PUT share: their chunk must continue the session. Gives the refusal, or the plan for the body.
using ChunkCheck = std::variant<Response, BodyPlan>;
Result<ChunkCheck> check_chunk(const Context& context, const registry::Upload& upload) {
  BodyPlan plan{.from = upload.offset(), .announced = std::nullopt};
  if (context.request.headers.has("Content-Range")) {
    // distribution-spec end-5: 416 when the chunk does not start at the offset, and nothing has changed.
    const auto range = oci::parse_upload_range(context.request.headers.get("Content-Range"));
    if (!range || range->begin != plan.from) return ChunkCheck(refuse_chunk(context, upload.id(), plan.from));
    plan.announced = range->size();
  }
  if (context.request.has_body || plan.announced) BERTH_CHECK(check_body(context, plan));
  return ChunkCheck(plan);
}

}  // namespace

Task<Response> start_upload(Context& context) {
  if (const auto text = context.query.get("mount")) co_return co_await mount(context, *text);
  if (context.query.get("digest")) co_return co_await push_whole(context);
  BERTH_CO_TRY(const auto algorithm, session_algorithm(context.query, oci::Algorithm::sha256));
  co_return co_await open_session(context, algorithm);
}

Task<Response> get_upload(Context& context) {
  const std::string& id = context.target.upload_id;
  BERTH_CO_TRY(const std::uint64_t offset,
               co_await context.registry().upload_offset(context.actor, context.repository(), id));
  co_return session_response(204, context, id, offset);
}

Task<Response> append_upload(Context& context) {
  const std::string& id = context.target.upload_id;
  BERTH_CO_TRY(const auto upload, co_await context.registry().claim_upload(context.actor, context.repository(), id));
  upload->on_superseded(context.request.body->interrupter());
  BERTH_CO_TRY(auto checked, check_chunk(context, *upload));
  if (auto* refusal = std::get_if<Response>(&checked)) co_return std::move(*refusal);
  BERTH_CO_CHECK(co_await receive_body(context, *upload, std::get<BodyPlan>(checked)));
  // A commit needs no flush: what is small goes from memory straight into the index, without a file in between.
  BERTH_CO_CHECK(co_await upload->flush());
  co_return session_response(202, context, id, upload->offset());
}

// distribution-spec end-6. A digest that is missing or malformed is found before the session is touched, which lives on.
Task<Response> commit_upload(Context& context) {
  BERTH_CO_TRY(const oci::Digest digest, parse_query_digest(context.query));
  const std::string& id = context.target.upload_id;
  BERTH_CO_TRY(const auto upload, co_await context.registry().claim_upload(context.actor, context.repository(), id));
  upload->on_superseded(context.request.body->interrupter());
  BERTH_CO_TRY(auto checked, check_chunk(context, *upload));
  if (auto* refusal = std::get_if<Response>(&checked)) co_return std::move(*refusal);
  BERTH_CO_CHECK(co_await receive_body(context, *upload, std::get<BodyPlan>(checked)));
  BERTH_CO_CHECK(co_await upload->commit(digest));
  co_return blob_created(context, digest);
}

Task<Response> cancel_upload(Context& context) {
  const std::string& id = context.target.upload_id;
  BERTH_CO_TRY(const auto upload, co_await context.registry().claim_upload(context.actor, context.repository(), id));
  BERTH_CO_CHECK(co_await upload->cancel());
  Response response;
  response.status = 204;
  co_return response;
}

}  // namespace berth::api
