// /api/v1/me/tokens: everybody's own personal tokens; /api/v1/tokens: those of others, for administrators.
#include <algorithm>
#include <iterator>
#include <string_view>

#include "api/account_tools.h"
#include "api/admin/fields.h"
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "api/admin/secrets.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

constexpr auto kPersonal = registry::CredentialKind::personal_token;

/// Ways to come in, as AccessControl names them, after which nobody is asked again whether they still hold.
constexpr std::string_view kVouchedFor[] = {"oidc", "certificate"};

/// Whoever has tokens: a person. A robot has secrets of its own.
Result<void> require_person(const Context& context) {
  BERTH_CHECK(require_authenticated(context));
  if (context.principal.subject.starts_with("user:")) return {};
  return make_error(ErrorCode::request_invalid, "only users have tokens; " + context.principal.subject + " is none");
}

/// A token that leaked shall not be able to make others that outlive it, nor to end those of its owner. Nor shall what an
/// issuer or a certificate says of somebody, who may be a user of berth's by name.
Result<void> require_login(const Context& context) {
  BERTH_CHECK(require_person(context));
  const bool vouched_for =
      std::ranges::find(kVouchedFor, std::string_view(context.principal.method)) != std::end(kVouchedFor);
  if (vouched_for) {
    return make_error(ErrorCode::denied, "who comes in by an issuer or a certificate makes and revokes no tokens: come "
                                         "in with your password");
  }
  if (!context.principal.ceiling && context.principal.testimony.credential.empty()) return {};
  // As with everything that a token is not good for: another credential would be.
  return make_error(context.principal.from_token ? ErrorCode::unauthorized : ErrorCode::denied,
                    "a token does not make or revoke tokens: come in with your password");
}

Result<registry::IdentityNumber> number_in_query(const std::string& last) {
  if (last.empty()) return registry::IdentityNumber{0};
  auto number = number_in_path(last);
  if (!number) return make_error(ErrorCode::request_invalid, "the parameter last is what next was");
  return number;
}

Task<Response> list_of(Context& context, std::string owner, registry::CredentialKind kind) {
  BERTH_CO_TRY(const auto asked, page_asked(context));
  BERTH_CO_TRY(const auto last, number_in_query(asked.last));
  BERTH_CO_TRY(const auto page,
               co_await context.identities().list_credentials(kind, std::move(owner), asked.n, last));
  co_return json_answer(200, page_of(forms_of(page.items), page.more ? std::to_string(page.items.back().id) : ""));
}

Result<std::string> owner_asked(const Context& context) {
  BERTH_TRY(const auto owner, parameter(context, "owner"));
  if (!owner) return make_error(ErrorCode::request_invalid, "the parameter owner is missing: user:NAME");
  std::string subject = registry::lower_case_subject(*owner);
  BERTH_TRY(const auto kind, registry::parse_subject(subject));
  const bool has_tokens = kind == registry::SubjectKind::user || kind == registry::SubjectKind::federated ||
                          kind == registry::SubjectKind::certificate;
  if (has_tokens) return subject;
  return make_error(ErrorCode::request_invalid, "the parameter owner is user:NAME: nobody else has tokens");
}

Result<registry::CredentialKind> kind_asked(const Context& context) {
  BERTH_TRY(const auto kind, parameter(context, "kind"));
  if (!kind || *kind == "personal") return kPersonal;
  if (*kind == "refresh") return registry::CredentialKind::refresh_token;
  return make_error(ErrorCode::request_invalid, "the parameter kind is personal or refresh");
}

}  // namespace

Task<Response> list_own_tokens(Context& context) {
  BERTH_CO_CHECK(require_person(context));
  co_return co_await list_of(context, context.principal.subject, kPersonal);
}

Task<Response> create_own_token(Context& context) {
  BERTH_CO_CHECK(require_login(context));
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  std::string name = fields.required_text("name");
  const auto expires_at = fields.time("expires_at");
  auto scope = fields.ceiling("scope").value_or(registry::Ceiling{});
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_TRY(MadeSecret secret, make_credential(context, auth::SecretKind::personal, std::move(name), expires_at,
                                                  std::move(scope)));
  const std::string& owner = context.principal.subject;
  BERTH_CO_TRY(const auto known, co_await context.identities().find_user(owner.substr(owner.find(':') + 1)));
  const auto origin = known ? registry::OwnerOrigin::local : registry::OwnerOrigin::outside;
  BERTH_CO_TRY(const auto made, co_await context.identities().create_token(context.actor, owner, origin,
                                                                           std::move(secret.credential)));
  Out out = form_of(made);
  out["token"] = secret.text;
  Response response = json_answer(201, out);
  response.headers.add("Location", "/api/v1/me/tokens/" + std::to_string(made.id));
  co_return response;
}

Task<Response> revoke_own_token(Context& context) {
  BERTH_CO_CHECK(require_login(context));
  BERTH_CO_TRY(const auto id, number_in_path(context.target.parts[0]));
  BERTH_CO_CHECK(co_await context.identities().revoke(context.actor, kPersonal, context.principal.subject, id));
  co_return no_content();
}

Task<Response> list_tokens(Context& context) {
  BERTH_CO_TRY(auto owner, owner_asked(context));
  BERTH_CO_TRY(const auto kind, kind_asked(context));
  co_return co_await list_of(context, std::move(owner), kind);
}

Task<Response> revoke_token(Context& context) {
  BERTH_CO_TRY(auto owner, owner_asked(context));
  BERTH_CO_TRY(const auto kind, kind_asked(context));
  BERTH_CO_TRY(const auto id, number_in_path(context.target.parts[0]));
  BERTH_CO_CHECK(co_await context.identities().revoke(context.actor, kind, std::move(owner), id));
  co_return no_content();
}

Task<Response> revoke_tokens(Context& context) {
  BERTH_CO_TRY(const auto owner, owner_asked(context));
  BERTH_CO_TRY(const auto personal, co_await context.identities().revoke_all(context.actor, kPersonal, owner));
  BERTH_CO_TRY(const auto refresh, co_await context.identities().revoke_all(
                                       context.actor, registry::CredentialKind::refresh_token, owner));
  Out out;
  out["revoked"] = personal + refresh;
  co_return json_answer(200, out);
}

}  // namespace berth::api::admin
