// /api/v1/users
#include "api/account_tools.h"
#include "api/admin/administrators.h"
#include "api/admin/chosen_password.h"
#include "api/admin/fields.h"
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

Error no_such_user() { return make_error(registry::kIdentityUnknown, "there is no such user"); }

}  // namespace

Task<Response> list_users(Context& context) {
  BERTH_CO_TRY(auto asked, page_asked(context));
  BERTH_CO_TRY(const auto page, co_await context.identities().list_users(asked.n, std::move(asked.last)));
  co_return json_answer(200, page_of(forms_of(page.items), page.more ? page.items.back().name : ""));
}

Task<Response> get_user(Context& context) {
  BERTH_CO_TRY(const auto user, co_await context.identities().find_user(context.target.parts[0]));
  if (!user) co_return no_such_user();
  co_return versioned_answer(200, form_of(*user), user->version);
}

Task<Response> create_user(Context& context) {
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  registry::NewUser user;
  user.name = registry::lower_case(fields.required_text("name"));
  auto password = fields.is_null("password") ? std::nullopt : fields.text("password");
  user.enabled = fields.boolean("enabled").value_or(true);
  user.display_name = fields.text("display_name").value_or("");
  user.email = fields.text("email").value_or("");
  user.groups = fields.texts("groups").value_or(std::vector<std::string>{});
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_CHECK(registry::check_name(user.name, "name"));
  if (password) {
    BERTH_CO_TRY(user.password_hash, co_await hash_chosen(context, *std::move(password)));
  }
  BERTH_CO_TRY(const auto made, co_await context.identities().create_user(context.actor, std::move(user)));
  co_return created_answer(form_of(made), "/api/v1/users/" + made.name, made.version);
}

Task<Response> update_user(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  registry::UserChange change;
  std::optional<std::string> password;
  if (fields.is_null("password")) {
    change.password_hash = "";
  } else {
    password = fields.text("password");
  }
  change.enabled = fields.boolean("enabled");
  change.display_name = fields.text("display_name");
  change.email = fields.text("email");
  change.groups = fields.texts("groups");
  BERTH_CO_CHECK(fields.done());
  const std::string name = registry::lower_case(context.target.parts[0]);
  BERTH_CO_TRY(const auto user, co_await context.identities().find_user(name));
  if (!user) co_return no_such_user();
  AccessChange access;
  if (change.enabled == false) access.user_gone = name;
  if (change.groups) {
    access.user_moved = name;
    for (const std::string& group : *change.groups) access.groups.push_back(registry::lower_case(group));
  }
  if (!access.user_gone.empty() || !access.user_moved.empty()) {
    BERTH_CO_CHECK(co_await check_administrators_stay(context, std::move(access)));
  }
  if (password) {
    BERTH_CO_TRY(change.password_hash, co_await hash_chosen(context, *std::move(password)));
  }
  BERTH_CO_TRY(const auto changed,
               co_await context.identities().update_user(context.actor, name, std::move(change), version));
  co_return versioned_answer(200, form_of(changed), changed.version);
}

Task<Response> delete_user(Context& context) {
  BERTH_CO_TRY(const auto version, if_version(context));
  BERTH_CO_TRY(const bool erase, flag(context, "erase"));
  const std::string name = registry::lower_case(context.target.parts[0]);
  BERTH_CO_TRY(const auto user, co_await context.identities().find_user(name));
  if (!user) co_return no_such_user();
  AccessChange access{.user_gone = name};
  BERTH_CO_CHECK(co_await check_administrators_stay(context, std::move(access)));
  const auto erasure = erase ? registry::Erasure::erase_name : registry::Erasure::keep_name;
  BERTH_CO_CHECK(co_await context.identities().delete_user(context.actor, name, erasure, version));
  co_return no_content();
}

}  // namespace berth::api::admin
