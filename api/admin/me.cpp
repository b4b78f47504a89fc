// /api/v1/me and /api/v1/access/explain: who am I, and what may I (or somebody else) do, and why.
#include <algorithm>

#include "api/account_tools.h"
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

Task<Response> get_me(Context& context) {
  BERTH_CO_CHECK(require_authenticated(context));
  const auth::Principal& me = context.principal;
  Out out;
  out["subject"] = me.subject;
  out["subjects"] = me.subjects;
  out["id"] = std::to_string(me.actor);
  out["method"] = me.method;
  out["administrator"] = is_administrator(context);
  out["scope"] = me.ceiling ? form_of(*me.ceiling) : Out();
  co_return json_answer(200, out);
}

Task<Response> explain_access(Context& context) {
  BERTH_CO_CHECK(require_authenticated(context));
  BERTH_CO_TRY(const auto asked_action, parameter(context, "action"));
  BERTH_CO_TRY(const auto asked_subject, parameter(context, "subject"));
  BERTH_CO_TRY(const auto asked_repository, parameter(context, "repository"));
  BERTH_CO_TRY(const auto asked_tag, parameter(context, "tag"));
  if (!asked_action) {
    co_return make_error(ErrorCode::request_invalid,
                         "the parameter action is missing: pull, push, overwrite, delete, admin or metrics");
  }
  BERTH_CO_TRY(const auth::Action action, auth::parse_action(*asked_action));
  std::optional<oci::RepositoryName> repository;
  if (asked_repository) {
    BERTH_CO_TRY(repository, oci::RepositoryName::parse(*asked_repository));
  }
  std::optional<oci::Tag> tag;
  if (asked_tag) {
    BERTH_CO_TRY(tag, oci::Tag::parse(*asked_tag));
    if (!repository) co_return make_error(ErrorCode::request_invalid, "a tag is in a repository: name it too");
  }
  const bool everything = is_administrator(context);
  const std::string subject =
      asked_subject ? registry::lower_case_subject(*asked_subject) : context.principal.subject;
  // About oneself with what one came in with, its scope included.
  auth::Principal principal = context.principal;
  if (subject != context.principal.subject) {
    if (!everything) {
      co_return make_error(context.principal.from_token ? ErrorCode::unauthorized : ErrorCode::denied,
                           "only an administrator may ask about others");
    }
    BERTH_CO_CHECK(registry::parse_subject(subject));
    BERTH_CO_TRY(principal, co_await context.accounts().principal_of_subject(subject));
  }
  const auth::Explanation explanation = context.policy.explain(principal, action, repository ? &*repository : nullptr,
                                                               tag ? &*tag : nullptr);
  Out out;
  out["subject"] = principal.subject;
  out["subjects"] = principal.subjects;
  out["action"] = *asked_action;
  out["repository"] = asked_repository ? Out(*asked_repository) : Out();
  out["tag"] = asked_tag ? Out(*asked_tag) : Out();
  out["allowed"] = explanation.allowed;
  out["reason"] = explanation.reason;
  out["origin"] = explanation.origin.empty() ? Out() : Out(explanation.origin);
  out["scope_allows"] = explanation.ceiling_allows;
  Out grants = Out::array();
  for (const auth::GrantVerdict& verdict : explanation.grants) {
    // What others are given is not everybody's business.
    const bool own = std::ranges::find(principal.subjects, verdict.subject) != principal.subjects.end();
    if (!everything && !own) continue;
    Out line;
    line["origin"] = verdict.origin;
    line["why"] = auth::to_string(verdict.why);
    line["subject"] = verdict.subject.empty() ? Out() : Out(verdict.subject);
    line["pattern"] = verdict.pattern.empty() ? Out() : Out(verdict.pattern);
    grants.push_back(std::move(line));
  }
  out["grants"] = std::move(grants);
  co_return json_answer(200, out);
}

}  // namespace berth::api::admin
