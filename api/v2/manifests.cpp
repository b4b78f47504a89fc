// Manifests: read as stored, written as sent, removed by tag or by digest.
#include <algorithm>

#include "api/conditions.h"
#include "api/handlers.h"
#include "registry/counts.h"

namespace berth::api {

namespace {

Error too_large(std::size_t bytes_max) {
  return make_error(ErrorCode::manifest_too_large,
                    "the manifest is larger than " + std::to_string(bytes_max) + " bytes");
}

/// The whole body, refused as soon as its announced or counted size passes the limit.
Task<std::string> read_body(Context& context, MemoryBudget::Share& memory) {
  const std::size_t bytes_max = context.options.manifest_bytes_max;
  if (context.request.content_length.value_or(0) > bytes_max) co_return too_large(bytes_max);
  const trace::Span span(context.request.span.below(), "receive body");
  std::string body;
  while (true) {
    BERTH_CO_TRY(const registry::Buffer buffer, co_await context.request.body->next());
    if (buffer.size() == 0) co_return body;
    if (buffer.size() > bytes_max - body.size()) co_return too_large(bytes_max);
    if (!memory.take(buffer.size())) {
      co_return make_error(ErrorCode::unavailable, "too many manifests are being pushed at once; try again");
    }
    body += as_text(buffer.bytes());
  }
}

/// The `tag` parameters of a push by digest, each once, all checked before anything is written.
Result<std::vector<oci::Tag>> extra_tags(const Context& context) {
  std::vector<oci::Tag> tags;
  const auto texts = context.query.all("tag");
  if (texts.empty()) return tags;
  if (std::holds_alternative<oci::Tag>(context.reference())) {
    return make_error(ErrorCode::tag_invalid, "the tag parameter is for a push by digest; the path names a tag");
  }
  if (texts.size() > context.options.tags_per_push_max) {
    return make_error(ErrorCode::too_many_tags, "one push takes at most " +
                                                    std::to_string(context.options.tags_per_push_max) + " tags");
  }
  for (const std::string_view text : texts) {
    BERTH_TRY(oci::Tag tag, oci::Tag::parse(text));
    if (std::find(tags.begin(), tags.end(), tag) == tags.end()) tags.push_back(std::move(tag));
  }
  return tags;
}

/// `digest` beside a tag asks for that digest to be checked and its algorithm used. Beside a digest it can only repeat.
Result<std::optional<oci::Digest>> expected_digest(const Context& context) {
  const auto text = context.query.get("digest");
  if (!text) return std::optional<oci::Digest>();
  BERTH_TRY(const oci::Digest digest, oci::Digest::parse(*text));
  const auto* in_path = std::get_if<oci::Digest>(&context.reference());
  if (in_path == nullptr) return std::optional(digest);
  if (*in_path == digest) return std::optional<oci::Digest>();
  return make_error(ErrorCode::digest_invalid, "the path and the query name different digests");
}

/// A right to push may be for some tags only. Errors: denied.
Result<void> check_may_tag(const Context& context, const oci::Tag& tag) {
  const auto decision = context.policy.decide(context.principal, auth::Action::push, &context.repository(), &tag);
  if (decision.allowed) return {};
  return make_error(ErrorCode::denied, "this caller may not push the tag " + tag.text(), std::string(decision.reason));
}

/// Everything that can be said about a push before the registry is asked, and its body.
Task<registry::PutManifestRequest> read_push(Context& context, MemoryBudget::Share& memory) {
  BERTH_CO_TRY(auto tags, extra_tags(context));
  BERTH_CO_TRY(auto expected, expected_digest(context));
  BERTH_CO_TRY(auto precondition, write_precondition(context.request.headers));
  if (const auto* tag = std::get_if<oci::Tag>(&context.reference())) BERTH_CO_CHECK(check_may_tag(context, *tag));
  for (const oci::Tag& tag : tags) BERTH_CO_CHECK(check_may_tag(context, tag));
  BERTH_CO_TRY(std::string body, co_await read_body(context, memory));
  registry::PutManifestRequest push{.repository = context.repository(),
                                    .reference = context.reference(),
                                    .content_type = std::string(context.request.headers.get("Content-Type")),
                                    .body = std::move(body),
                                    .extra_tags = {},
                                    .expected_digest = std::move(expected),
                                    .precondition = std::move(precondition)};
  // Whether a tag moves is known only when the push is applied; whether it may is said here.
  const auto may_overwrite = [&context](const oci::Tag& tag) {
    return context.policy.decide(context.principal, auth::Action::overwrite, &context.repository(), &tag).allowed;
  };
  if (const auto* tag = std::get_if<oci::Tag>(&push.reference)) push.may_overwrite = may_overwrite(*tag);
  for (const oci::Tag& tag : tags) push.extra_tags.push_back({tag, may_overwrite(tag)});
  co_return push;
}

}  // namespace

Task<Response> get_manifest(Context& context) {
  const bool count_pull = !context.is_head();
  BERTH_CO_TRY(const auto manifest, co_await context.registry().get_manifest(context.actor, context.repository(),
                                                                             context.reference(), count_pull));
  Response response;
  switch (check_read(context.request.headers, manifest->digest)) {
    case ReadCondition::failed:
      co_return make_error(ErrorCode::precondition_failed, "the manifest is another one: " +
                                                               manifest->digest.to_string());
    case ReadCondition::not_modified:
      response.status = 304;
      break;
    case ReadCondition::proceed:
      // Its own type whatever Accept says: what is stored is the only form there is.
      response.headers.add("Content-Type", manifest->media_type);
      response.body.emplace_back(
          MemorySlice{std::shared_ptr<const std::string>(manifest, &manifest->bytes), {0, manifest->bytes.size()}});
  }
  response.headers.add("Docker-Content-Digest", manifest->digest.to_string());
  response.headers.add("ETag", etag(manifest->digest));
  co_return response;
}

Task<Response> put_manifest(Context& context) {
  MemoryBudget::Share memory(context.manifest_memory);
  auto push = co_await read_push(context, memory);
  if (!push) {
    // The registry never hears of it, so it is counted here.
    registry::counts::push(registry::ManifestType::unknown, registry::counts::outcome_of(push));
    co_return std::move(push).error();
  }
  const std::vector<registry::PushedTag> tags = push->extra_tags;
  BERTH_CO_TRY(const auto done, co_await context.registry().put_manifest(context.actor, *std::move(push)));
  Response response;
  response.status = 201;
  response.headers.add("Location", "/v2/" + context.repository().text() + "/manifests/" + done.digest.to_string());
  response.headers.add("Docker-Content-Digest", done.digest.to_string());
  // Tells the client that the referrers API lists it, so that it keeps no list under a tag of its own.
  if (done.subject) response.headers.add("OCI-Subject", *done.subject);
  for (const registry::PushedTag& pushed : tags) response.headers.add("OCI-Tag", pushed.tag.text());
  co_return response;
}

Task<Response> delete_manifest(Context& context) {
  BERTH_CO_TRY(auto precondition, write_precondition(context.request.headers));
  registry::Registry& registry = context.registry();
  auto may_delete = context.policy.tags(context.principal, auth::Action::delete_, context.repository());
  if (const auto* tag = std::get_if<oci::Tag>(&context.reference())) {
    BERTH_CO_CHECK(co_await registry.delete_tag(context.actor, context.repository(), *tag, std::move(precondition),
                                                std::move(may_delete)));
  } else {
    const auto& digest = std::get<oci::Digest>(context.reference());
    BERTH_CO_CHECK(co_await registry.delete_manifest(context.actor, context.repository(), digest,
                                                     std::move(precondition), std::move(may_delete)));
  }
  Response response;
  response.status = 202;
  co_return response;
}

}  // namespace berth::api
