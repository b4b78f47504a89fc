// /api/v1/grants: those of the configuration, which only the configuration changes, then stored ones.
#include <algorithm>
#include <charconv>

#include "api/admin/administrators.h"
#include "api/admin/fields.h"
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

constexpr std::string_view kConfigured = "config-";  ///< and a number from 1

/// Those of the configuration of now, in its order.
std::vector<const auth::Grant*> configured_grants(const Context& context) {
  std::vector<const auth::Grant*> grants;
  for (const auth::Policy::Rule& rule : context.policy.rules()) {
    if (rule.grant.origin == "config") grants.push_back(&rule.grant);
  }
  return grants;
}

Error no_such_grant() { return make_error(registry::kIdentityUnknown, "there is no such grant"); }

/// The position of the configured grant that an id names, from 1; 0: it names a stored one.
Result<std::size_t> configured_position(std::string_view id) {
  if (!id.starts_with(kConfigured)) return std::size_t{0};
  BERTH_TRY(const auto number, number_in_path(id.substr(kConfigured.size())));
  return static_cast<std::size_t>(number);
}

Task<registry::IdentityNumber> require_stored(Context& context) {
  const std::string& id = context.target.parts[0];
  BERTH_CO_TRY(const std::size_t position, configured_position(id));
  if (position > configured_grants(context).size()) co_return no_such_grant();
  if (position > 0) co_return conflict("the grant " + id + " stands in the configuration: change it there");
  BERTH_CO_TRY(const auto number, number_in_path(id));
  BERTH_CO_TRY(const auto grant, co_await context.identities().find_grant(number));
  if (!grant) co_return no_such_grant();
  co_return number;
}

Result<registry::GrantContent> read_content(const Json& body) {
  Fields fields(body);
  registry::GrantContent content;
  for (const std::string& subject : fields.required_texts("subjects")) {
    content.subjects.push_back(registry::lower_case_subject(subject));
  }
  content.repositories = fields.required_texts("repositories");
  const bool no_role = fields.is_null("role");
  if (!no_role) content.role = registry::lower_case(fields.text("role").value_or(""));
  if (!fields.is_null("actions")) content.actions = fields.actions("actions").value_or(0);
  content.tags = fields.texts("tags").value_or(std::vector<std::string>{});
  content.description = fields.text("description").value_or("");
  BERTH_CHECK(fields.done());
  if (content.role.empty() == (content.actions == 0)) {
    return make_error(ErrorCode::request_invalid, "a grant has either a role or actions");
  }
  return content;
}

Task<Response> list_grants_of(Context& context, std::string subject) {
  BERTH_CO_CHECK(registry::parse_subject(subject));
  Out items = Out::array();
  std::size_t position = 0;
  for (const auth::Grant* grant : configured_grants(context)) {
    ++position;
    if (std::ranges::find(grant->subjects, subject) == grant->subjects.end()) continue;
    items.push_back(form_of_configured(*grant, std::string(kConfigured) + std::to_string(position)));
  }
  BERTH_CO_TRY(const auto stored, co_await context.identities().list_grants_of(std::move(subject)));
  for (const registry::StoredGrant& grant : stored) items.push_back(form_of(grant));
  co_return json_answer(200, page_of(std::move(items), ""));
}

}  // namespace

Task<Response> list_grants(Context& context) {
  BERTH_CO_TRY(const auto subject, parameter(context, "subject"));
  if (subject) co_return co_await list_grants_of(context, registry::lower_case_subject(*subject));
  BERTH_CO_TRY(const auto asked, page_asked(context));
  const auto bad_last = [] { return make_error(ErrorCode::request_invalid, "the parameter last is what next was"); };
  const auto position = configured_position(asked.last);
  if (!position) co_return bad_last();
  registry::IdentityNumber last = 0;
  Out items = Out::array();
  std::string next;
  const auto configured = configured_grants(context);
  if (asked.last.empty() || *position > 0) {
    for (std::size_t i = *position; i < configured.size() && items.size() < asked.n; ++i) {
      next = std::string(kConfigured) + std::to_string(i + 1);
      items.push_back(form_of_configured(*configured[i], next));
    }
  } else {
    const auto number = number_in_path(asked.last);
    if (!number) co_return bad_last();
    last = *number;
  }
  // Also when the page is full by now: does anything follow?
  const std::size_t room = asked.n - items.size();
  BERTH_CO_TRY(const auto page, co_await context.identities().list_grants(std::max<std::size_t>(room, 1), last));
  const bool more = page.more || (room == 0 && !page.items.empty());
  for (const registry::StoredGrant& grant : page.items) {
    if (items.size() == asked.n) break;
    items.push_back(form_of(grant));
    next = std::to_string(grant.id);
  }
  const bool configured_left = next.starts_with(kConfigured) && next != std::string(kConfigured) + std::to_string(configured.size());
  co_return json_answer(200, page_of(std::move(items), more || configured_left ? next : ""));
}

Task<Response> get_grant(Context& context) {
  const std::string& id = context.target.parts[0];
  BERTH_CO_TRY(const std::size_t position, configured_position(id));
  if (position > 0) {
    const auto configured = configured_grants(context);
    if (position > configured.size()) co_return no_such_grant();
    co_return json_answer(200, form_of_configured(*configured[position - 1], id));
  }
  BERTH_CO_TRY(const auto number, number_in_path(id));
  BERTH_CO_TRY(const auto grant, co_await context.identities().find_grant(number));
  if (!grant) co_return no_such_grant();
  co_return versioned_answer(200, form_of(*grant), grant->version);
}

Task<Response> create_grant(Context& context) {
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  BERTH_CO_TRY(auto content, read_content(body));
  BERTH_CO_TRY(const auto made, co_await context.identities().create_grant(context.actor, std::move(content)));
  co_return created_answer(form_of(made), "/api/v1/grants/" + std::to_string(made.id), made.version);
}

Task<Response> replace_grant(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  BERTH_CO_TRY(auto content, read_content(body));
  BERTH_CO_TRY(const auto id, co_await require_stored(context));
  AccessChange access{.grant = id, .replaced = content};
  BERTH_CO_CHECK(co_await check_administrators_stay(context, std::move(access)));
  BERTH_CO_TRY(const auto changed,
               co_await context.identities().update_grant(context.actor, id, std::move(content), version));
  co_return versioned_answer(200, form_of(changed), changed.version);
}

Task<Response> delete_grant(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  BERTH_CO_TRY(const auto id, co_await require_stored(context));
  AccessChange access{.grant = id};
  BERTH_CO_CHECK(co_await check_administrators_stay(context, std::move(access)));
  BERTH_CO_CHECK(co_await context.identities().delete_grant(context.actor, id, version));
  co_return no_content();
}

}  // namespace berth::api::admin
