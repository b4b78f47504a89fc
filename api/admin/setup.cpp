// POST /api/v1/setup: the first administrator, by the secret of the settings.
//
// Open to nobody in particular, for there is nobody yet: what it asks for is the secret. It works once for a secret, and
// only while there is no user; the answer is the same whether the secret is wrong or nothing is to be set up any more.
#include "api/account_tools.h"
#include "api/admin/chosen_password.h"
#include "api/admin/fields.h"
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "auth/secrets.h"
#include "base/log.h"
#include "registry/identities/rules.h"

namespace berth::api::admin {

namespace {

Error refused(const Context& context, std::string_view why) {
  log::warning("the set-up secret was refused",
               {{"why", why}, {"peer", context.request.peer_address}, {"request_id", context.request.id}});
  return make_error(ErrorCode::denied, "the secret is wrong, or was used, or there is an administrator already");
}

}  // namespace

Task<Response> set_up(Context& context) {
  const auth::AuthOptions& options = context.accounts().options();
  if (!options.enabled || options.setup_secret.empty()) {
    co_return make_error(registry::kIdentityUnknown, "the settings have no set-up secret");
  }
  // Before the body: once there are users, nobody's is worth the memory.
  BERTH_CO_TRY(const auto totals, co_await context.identities().totals());
  if (totals.users > 0) co_return refused(context, "there are users already");
  BERTH_CO_TRY(const Json body, co_await read_object(context));
  Fields fields(body);
  const std::string secret = fields.required_text("secret");
  const std::string password = fields.required_text("password");
  registry::NewUser user;
  user.name = registry::lower_case(fields.required_text("name"));
  BERTH_CO_CHECK(fields.done());
  BERTH_CO_CHECK(registry::check_name(user.name, "name"));

  const std::string shown = auth::hash_secret(secret);
  if (!auth::same_secret_hash(shown, auth::hash_secret(options.setup_secret))) {
    co_return refused(context, "it is wrong");
  }
  BERTH_CO_TRY(user.password_hash, co_await hash_chosen(context, password));
  registry::SecretHash hash{};
  std::ranges::transform(shown, hash.begin(), [](char c) { return static_cast<std::byte>(c); });
  auto made = co_await context.identities().use_setup_secret(context.actor, hash, std::move(user));
  if (made.failed_with(ErrorCode::denied)) co_return refused(context, "it was used");
  BERTH_CO_CHECK(made);
  log::info("the first administrator was made with the set-up secret; take it out of the settings",
            {{"user", made->name}, {"peer", context.request.peer_address}});
  co_return created_answer(form_of(*made), "/api/v1/users/" + made->name, made->version);
}

}  // namespace berth::api::admin
