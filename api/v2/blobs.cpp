// Blobs on their way out, and their removal from one repository.
#include "api/conditions.h"
#include "api/errors.h"
#include "api/handlers.h"

namespace berth::api {

namespace {

constexpr std::string_view kBlobType = "application/octet-stream";

void add_blob_headers(Response& response, const oci::Digest& digest) {
  response.headers.add("Docker-Content-Digest", digest.to_string());
  response.headers.add("ETag", etag(digest));
  // What a digest names never changes; who may see it does, so no shared cache keeps it.
  response.headers.add("Cache-Control", "private, max-age=31536000, immutable");
  response.headers.add("Accept-Ranges", "bytes");
  // A page that somebody pushed must not open in this origin.
  response.headers.add("Content-Disposition", "attachment");
}

BodyPart slice(const registry::BlobContent& content, oci::ByteRange range) {
  if (content.bytes) return MemorySlice{content.bytes, range};
  return FileSlice{content.file, range};
}

std::string content_range(oci::ByteRange range, std::uint64_t size) {
  return "bytes " + std::to_string(range.begin) + '-' + std::to_string(range.end - 1) + '/' + std::to_string(size);
}

Response whole(const registry::BlobContent& content) {
  Response response;
  response.headers.add("Content-Type", std::string(kBlobType));
  add_blob_headers(response, content.digest);
  response.body.push_back(slice(content, {0, content.size}));
  return response;
}

// RFC 9110 §15.3.7.2. One part for each range, in the order of the request and never joined: clients of partially
// pulled layers count the parts.
Response multipart(const registry::BlobContent& content, const std::vector<oci::ByteRange>& ranges) {
  // Content can not hold half of its own digest, short of breaking the hash, so this line never occurs in it.
  const std::string boundary = "berth" + content.digest.hex().substr(0, 32);
  Response response;
  response.status = 206;
  response.headers.add("Content-Type", "multipart/byteranges; boundary=" + boundary);
  add_blob_headers(response, content.digest);
  std::string before = "--" + boundary;
  for (const oci::ByteRange& range : ranges) {
    before += "\r\nContent-Type: " + std::string(kBlobType) +
              "\r\nContent-Range: " + content_range(range, content.size) + "\r\n\r\n";
    response.body.emplace_back(std::move(before));
    response.body.push_back(slice(content, range));
    before = "\r\n--" + boundary;
  }
  response.body.emplace_back(before + "--\r\n");
  return response;
}

Response partial(const registry::BlobContent& content, const std::vector<oci::ByteRange>& ranges) {
  if (ranges.size() > 1) return multipart(content, ranges);
  Response response;
  response.status = 206;
  response.headers.add("Content-Type", std::string(kBlobType));
  response.headers.add("Content-Range", content_range(ranges.front(), content.size));
  add_blob_headers(response, content.digest);
  response.body.push_back(slice(content, ranges.front()));
  return response;
}

Response unsatisfiable(const Context& context, std::uint64_t size) {
  const std::string message = "the blob has " + std::to_string(size) + " bytes and none of them is in this range";
  Response response = error_response(make_error(ErrorCode::range_unsatisfiable, message), context.request.id);
  response.headers.add("Content-Range", "bytes */" + std::to_string(size));
  return response;
}

/// 304 or 412, when the request's conditions say so.
Result<std::optional<Response>> answer_conditions(const Context& context) {
  switch (check_read(context.request.headers, context.digest())) {
    case ReadCondition::proceed: break;
    case ReadCondition::failed: return make_error(ErrorCode::precondition_failed, "the blob is another one");
    case ReadCondition::not_modified: {
      Response response;
      response.status = 304;
      add_blob_headers(response, context.digest());
      return std::optional(std::move(response));
    }
  }
  return std::optional<Response>();
}

Response answer_ranges(const Context& context, const registry::BlobContent& content) {
  const Headers& headers = context.request.headers;
  if (!headers.has("Range") || !range_applies(headers, content.digest)) return whole(content);
  const auto answer = oci::resolve_range(headers.get("Range"), content.size, context.options.ranges_max);
  if (const auto* ranges = std::get_if<std::vector<oci::ByteRange>>(&answer)) return partial(content, *ranges);
  if (std::holds_alternative<oci::Unsatisfiable>(answer)) return unsatisfiable(context, content.size);
  return whole(content);
}

}  // namespace

// A body of the right length stands for the GET's; the session leaves it out, so it has no bytes behind it.
Task<Response> head_blob(Context& context) {
  BERTH_CO_TRY(const std::uint64_t size,
               co_await context.registry().blob_size(context.actor, context.repository(), context.digest()));
  BERTH_CO_TRY(auto conditional, answer_conditions(context));
  if (conditional) co_return *std::move(conditional);
  // Range is for GET alone (RFC 9110 §14.2).
  co_return whole({.digest = context.digest(), .size = size, .bytes = nullptr, .file = nullptr});
}

Task<Response> get_blob(Context& context) {
  BERTH_CO_TRY(const registry::BlobContent content,
               co_await context.registry().open_blob(context.actor, context.repository(), context.digest()));
  BERTH_CO_TRY(auto conditional, answer_conditions(context));
  if (conditional) co_return *std::move(conditional);
  Response response = answer_ranges(context, content);
  response.on_unreadable = content.report_unreadable;
  co_return response;
}

Task<Response> delete_blob(Context& context) {
  auto may_delete = context.policy.tags(context.principal, auth::Action::delete_, context.repository());
  BERTH_CO_CHECK(co_await context.registry().delete_blob(context.actor, context.repository(), context.digest(),
                                                         std::move(may_delete)));
  Response response;
  response.status = 202;
  co_return response;
}

}  // namespace berth::api
